package extraconfig_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

func TestDelta(t *testing.T) {
	c := newCodec(t)
	was := full()
	was.Mounts = nil
	before, err := c.Encode(was)
	if err != nil {
		t.Fatal(err)
	}
	now := was.Clone()
	now.Hostname = "other"
	now.Version = nil
	now.Annotations = nil
	now.Sessions["web.1"].Cmd.Args = []string{"a|b"}
	now.Networks["ext.prod"].Ports = nil
	after, err := c.Encode(now)
	if err != nil {
		t.Fatal(err)
	}
	d := extraconfig.Diff(before, after)
	var set []string
	for _, p := range d.Set {
		set = append(set, p.Key)
	}
	wantSet := []string{
		"guestinfo.vice./hostname", "guestinfo.vice./sessions|web/1/cmd/Args", "guestinfo.vice./sessions|web/1/cmd/Args|0", "guestinfo.vice./sessions|web/1/cmd/Args~",
	}
	wantDelete := []string{
		"annotations", "annotations|com.example/team", "guestinfo.vice./networks|ext/prod/ports", "guestinfo.vice./networks|ext/prod/ports~",
		"guestinfo.vice./version/BuildDate", "guestinfo.vice./version/BuildNumber", "guestinfo.vice./version/GitCommit",
		"guestinfo.vice./version/PluginVersion", "guestinfo.vice./version/State", "guestinfo.vice./version/Version",
	}
	slices.Sort(wantDelete)
	slices.Sort(wantSet)
	if !slices.Equal(set, wantSet) || !slices.Equal(d.Delete, wantDelete) {
		t.Errorf("set %q, delete %q", set, d.Delete)
	}
	if got := d.Apply(before); got.Digest() != after.Digest() || !extraconfig.Diff(got, after).Empty() {
		t.Error("what was applied is not what was wanted")
	}
	if d := extraconfig.Diff(extraconfig.KeySet{}, after); len(d.Set) != after.Len() || d.Apply(extraconfig.KeySet{}).Digest() != after.Digest() {
		t.Error("from nothing")
	}
	if d := extraconfig.Diff(before, extraconfig.KeySet{}); len(d.Delete) != before.Len() || d.Apply(before).Len() != 0 {
		t.Error("to nothing")
	}
	if !extraconfig.Diff(before, before).Empty() || !extraconfig.Diff(extraconfig.KeySet{}, extraconfig.KeySet{}).Empty() {
		t.Error("a set differs from itself")
	}
}

// TestDeltaCase: a key is never deleted that is wanted, nor set again for its spelling.
func TestDeltaCase(t *testing.T) {
	c := newCodec(t)
	desired, err := c.Encode(&executor.ExecutorConfig{Hostname: "h", Annotations: map[string]string{"Key": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range []int{0, 40} { // few deletions are looked up otherwise than many
		held := map[string]string{}
		for key, value := range desired.Map() {
			held[key] = value
		}
		delete(held, "annotations|Key")
		held["ANNOTATIONS|key"] = "v"
		delete(held, "guestinfo.vice./hostname")
		held["guestinfo.vice./HostName"] = "another"
		held["guestinfo.vice./DOMAINNAME"] = "beside the right spelling"
		for i := range stale {
			held[fmt.Sprintf("guestinfo.vice./version/%d", i)] = "not ours"
			held[fmt.Sprintf("annotations|%d", i)] = "stale"
		}
		d := extraconfig.Diff(c.Parse(held), desired)
		if len(d.Set) != 1 || d.Set[0].Key != "guestinfo.vice./hostname" || len(d.Delete) != stale {
			t.Errorf("%+v", d)
		}
		for _, key := range d.Delete {
			if !strings.HasPrefix(key, "annotations|") {
				t.Errorf("%s is deleted", key)
			}
		}
	}
}

func TestKeySet(t *testing.T) {
	c := newCodec(t)
	keys, err := c.Encode(full(), extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	var sorted []string
	size := 0
	for p := range keys.All() {
		sorted = append(sorted, p.Key)
		size += len(p.Key) + len(p.Value)
		if q, ok := keys.Get(strings.ToUpper(p.Key)); !ok || q != p {
			t.Errorf("%s is not found in another spelling", p.Key)
		}
	}
	if !slices.IsSorted(sorted) || len(sorted) != keys.Len() || size != keys.Size() {
		t.Errorf("%d keys of %d, %d bytes of %d", len(sorted), keys.Len(), size, keys.Size())
	}
	guest := keys.Filter(func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() })
	for p := range guest.All() {
		if !strings.HasPrefix(p.Key, "guestinfo.vice.") || p.Scope() == extraconfig.Hidden {
			t.Errorf("a guest sees %s", p.Key)
		}
	}
	hidden := keys.Filter(func(p extraconfig.Pair) bool { return p.Scope() == extraconfig.Hidden })
	if guest.Len()+hidden.Len() != keys.Len() || guest.Size()+hidden.Size() != keys.Size() || guest.Digest() == keys.Digest() {
		t.Error("a filter loses something")
	}
	for range keys.All() {
		break
	}
	if _, ok := keys.Get("no such key"); ok {
		t.Error("found what is not there")
	}
	p, ok := keys.Get("guestinfo.vice./mounts|data/source/User@secret")
	if !ok || !p.Secret() || p.NonPersistent() || p.Scope() != extraconfig.ReadOnly || p.Field() != "mounts.data.source" {
		t.Errorf("%+v", p)
	}
	for _, value := range []string{"", "x"} {
		if extraconfig.Unescape(extraconfig.Escape(value)) != value {
			t.Errorf("%q does not come back", value)
		}
	}
	if extraconfig.Scope(9).String() == "" || extraconfig.Hidden.GuestVisible() {
		t.Error("scopes")
	}
}
