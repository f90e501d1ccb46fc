package extraconfig_test

import (
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
)

func TestOwns(t *testing.T) {
	c := newCodec(t)
	long := strings.Repeat("x", 128)
	for _, key := range []string{
		"guestinfo.vice./common/id",
		"GUESTINFO.VICE./COMMON/ID",
		"guestinfo.vice..createtime",
		"guestinfo.vice./common/ExecutionEnvironment",
		"common/notes",
		"annotations",
		"annotations|anything",
		"annotations|com.example/a|b~@secret",
		"annotations|x@non-persistent",
		"annotations|@secret",
		"guestinfo.vice./sessions",
		"guestinfo.vice./sessions|web/cmd/Path",
		"guestinfo.vice./sessions|a/b/cmd/Path",
		"guestinfo.vice./sessions|" + long + "/cmd/Path",
		"guestinfo.vice..sessions|a.b.detail.createtime",
		"guestinfo.vice./sessions|web/cmd/Args",
		"guestinfo.vice./sessions|web/cmd/Args~",
		"guestinfo.vice./sessions|web/cmd/Args|12",
		"guestinfo.vice..sessions|web.diagnostics.exitlogs|0.Time",
		"guestinfo.vice..diagnostics.exitlogs|000000000000000000000000001.Message",
		"guestinfo.vice./execs@non-persistent",
		"guestinfo.vice./execs|e1/cmd/Args~@non-persistent",
		"guestinfo.vice./execs|e1/cmd/Args~@NON-persistent",
		"guestinfo.vice./mounts|m/source/User@secret",
		"guestinfo.vice./networks|ext/prod/network/pools|3/first",
		"guestinfo.vice./networks|ext/prod/network/destinations|3/Mask",
		"networks|ext/prod/network/aliases|0",
		"sessions|web/common/notes",
	} {
		if !c.Owns(key) {
			t.Errorf("%s is ours", key)
		}
	}
	for _, key := range []string{
		"",
		"guestinfo.metadata",
		"guestinfo.vice.",
		"guestinfo.vice./",
		"guestinfo.vice./something-else",
		"guestinfo.vice./common",
		"guestinfo.vice./common/id/x",
		"guestinfo.vice./common/id@secret",
		"guestinfo.vice./common.id",
		"guestinfo.vice..common.id",
		"common/id",
		"guestinfo.vice./createtime",
		"xguestinfo.vice./common/id",
		"guestinfo.vice./common/id ",
		"annotations|",
		"annotations.x",
		"guestinfo.vice./annotations|x",
		"guestinfo.vice./sessions|web",
		"guestinfo.vice./sessions|/cmd/Path",
		"guestinfo.vice./sessions|a b/cmd/Path",
		"guestinfo.vice./sessions|a|b/cmd/Path",
		"guestinfo.vice./sessions|-a/cmd/Path",
		"guestinfo.vice./sessions|a.b/cmd/Path",
		"guestinfo.vice./sessions|x" + long + "/cmd/Path",
		"guestinfo.vice..sessions|a/b.detail.createtime",
		"guestinfo.vice./sessions|web/cmd/Args|",
		"guestinfo.vice./sessions|web/cmd/Args|x",
		"guestinfo.vice./sessions|web/cmd/Args~|1",
		"guestinfo.vice..diagnostics.exitlogs|.Time",
		"guestinfo.vice..diagnostics.exitlogs|*.Time",
		"guestinfo.vice..diagnostics.exitlogs|#.Time",
		"guestinfo.vice..diagnostics.exitlogs|\x00.Time",
		"guestinfo.vice..diagnostics.exitlogs|-1.Time",
		"guestinfo.vice./execs",
		"guestinfo.vice./execs|e1/cmd/Path",
		"guestinfo.vice./execs|e1@non-persistent/cmd/Path",
		"guestinfo.vice./execs@secret@non-persistent",
		"guestinfo.vice./mounts|m/source/User",
		"execs|e1/common/notes",
		"guestinfo.vice./networks|n/networkRef",
	} {
		if c.Owns(key) {
			t.Errorf("%s is not ours", key)
		}
	}
}

// TestOwnsNested: keys with several names or indexes.
func TestOwnsNested(t *testing.T) {
	type inner struct {
		Items map[string]struct{ X int } `vic:"0.1" scope:"read-only" key:"items"`
		Free  map[string]string          `vic:"0.1" scope:"hidden" key:"free"`
	}
	c, err := extraconfig.New[struct {
		Lists []inner          `vic:"0.1" scope:"read-only" key:"lists"`
		Each  map[string]inner `vic:"0.1" scope:"read-only" key:"each"`
	}]()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"guestinfo.vice./lists|0/items|a/b/X":      "Lists",
		"guestinfo.vice./each|a/b/items|c/d/X":     "Each.a.b.Items.c.d.X",
		"guestinfo.vice./EACH|A/items|c/x":         "Each.A.Items.c.X",
		"each|a/b/free|any/thing | at all.":        "Each.a.b.Free.any/thing | at all.",
		"guestinfo.vice./each|a/items":             "Each.a.Items",
		"guestinfo.vice./each|a/items|/X":          "",
		"guestinfo.vice./each|a.b/items|c/X":       "",
		"each|a/free|":                             "",
		"guestinfo.vice./lists|x/items|a/X":        "",
		"guestinfo.vice./each|a/items|b/items|c/X": "",
	} {
		got := ""
		for p := range c.Parse(map[string]string{key: ""}).All() {
			got = p.Field()
		}
		if got != want || c.Owns(key) != (want != "") {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestSpellingOfEntries: what is reported under another spelling is reported for the same field, with the same digest.
func TestSpellingOfEntries(t *testing.T) {
	c := newCodec(t)
	keys, err := c.Encode(full(), extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for key, value := range keys.Map() {
		held[strings.ToUpper(key)] = value
	}
	parsed := c.Parse(held)
	if parsed.Len() != keys.Len() {
		t.Fatalf("%d of %d keys were found", parsed.Len(), keys.Len())
	}
	want := keys.Fields()
	for field, digest := range parsed.Fields() {
		if want[field] != digest {
			t.Errorf("%s has another digest, or is another field", field)
		}
	}
	if d := extraconfig.Diff(parsed, keys); !d.Empty() {
		t.Errorf("a difference of case: %+v", d)
	}
	if got, err := c.Decode(held, extraconfig.WithSecretKey(secretKey)); err != nil || got.Sessions["web.1"] == nil || got.Annotations["com.example/team"] != "red" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCanonical: of the spellings that are ours, one is as Encode has it.
func TestCanonical(t *testing.T) {
	c := newCodec(t)
	for _, key := range []string{
		"guestinfo.vice./common/id",
		"guestinfo.vice./sessions|a/b/cmd/Path",
		"guestinfo.vice..sessions|a.b.started",
		"guestinfo.vice..sessions|Web.diagnostics.exitlogs|10.Time",
		"guestinfo.vice./execs|e1/cmd/Args~@non-persistent",
		"guestinfo.vice./networks|ext/prod/network/pools|3/first",
		"annotations|a%7Cb",
	} {
		if !c.Canonical(key) {
			t.Errorf("%s is spelled as it is written", key)
		}
	}
	for _, key := range []string{
		"",
		"guestinfo.metadata",
		"guestinfo.vice./common/ID",
		"GUESTINFO.vice./sessions|a/cmd/Path",
		"guestinfo.vice..sessions|a.STARTED",
		"guestinfo.vice..sessions|a.Diagnostics.exitlogs|0.Time",
		"guestinfo.vice./execs|e1/cmd/Args~@Non-persistent",
		"annotations|a|b",
	} {
		if c.Canonical(key) {
			t.Errorf("%s is spelled in another way", key)
		}
	}
}
