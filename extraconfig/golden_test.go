package extraconfig_test

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

var update = flag.Bool("update", false, "write the golden files and docs/keys.md instead of comparing with them")

// golden compares with a file; -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s\nwant\n%s", file, got, want)
	}
}

// secretKey is one executor's.
var secretKey = []byte("0123456789abcdef0123456789abcdef")

// lines shows a key set: scope, key and value of each pair.
func lines(keys extraconfig.KeySet) string {
	var b strings.Builder
	for p := range keys.All() {
		fmt.Fprintf(&b, "%-10s %s = %q\n", p.Scope(), p.Key, p.Value)
	}
	return b.String()
}

// row encodes v, shows the keys in a golden file, and makes sure that v comes back.
func row[T any](t *testing.T, file string, v *T) {
	t.Helper()
	t.Run(file, func(t *testing.T) {
		c, err := extraconfig.New[T]()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "golden", file+".txt"), lines(keys))
		back, err := c.Decode(keys.Map(), extraconfig.WithSecretKey(secretKey))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, v) {
			t.Errorf("decoded\n%+v\nwant\n%+v", back, v)
		}
		for p := range keys.All() {
			if !c.Owns(p.Key) {
				t.Errorf("%s is not ours", p.Key)
			}
		}
	})
}

// TestKeysGolden has the rows of the table of keys.
func TestKeysGolden(t *testing.T) {
	type leaf struct {
		Untagged  string
		Hidden    string `vic:"0.1" scope:"hidden" key:"h"`
		ReadOnly  string `vic:"0.1" scope:"read-only" key:"ro"`
		ReadWrite string `vic:"0.1" scope:"read-write" key:"rw"`
	}
	filled := leaf{"1", "2", "3", "4"}
	type below struct {
		Under leaf            `vic:"0.1" scope:"read-write" key:"under"`
		Each  map[string]leaf `vic:"0.1" scope:"read-only" key:"each"`
	}
	all := below{Under: filled, Each: map[string]leaf{"a.b": filled}}
	row(t, "keys/hidden", &struct {
		C below `vic:"0.1" scope:"hidden" key:"c"`
	}{all})
	row(t, "keys/read-only", &struct {
		C below `vic:"0.1" scope:"read-only" key:"c"`
	}{all})
	row(t, "keys/read-write", &struct {
		C below `vic:"0.1" scope:"read-write" key:"c"`
	}{all})
	row(t, "keys/volatile", &struct {
		Alone  string `vic:"0.1" scope:"volatile" key:"alone"`
		Hidden string `vic:"0.1" scope:"hidden,volatile" key:"h"`
		Write  string `vic:"0.1" scope:"volatile,read-write" key:"rw"`
	}{"1", "2", "3"})
	row(t, "keys/secret", &struct {
		Alone  leaf   `vic:"0.1" scope:"secret" key:"alone"`
		Hidden string `vic:"0.1" scope:"hidden,secret" key:"h"`
		Write  string `vic:"0.1" scope:"read-write,secret" key:"rw"`
		Both   string `vic:"0.1" scope:"read-only,secret,non-persistent" key:"both"`
	}{filled, "1", "2", "3"})
	row(t, "keys/non-persistent", &struct {
		Alone leaf                `vic:"0.1" scope:"non-persistent" key:"alone"`
		Each  map[string][]string `vic:"0.1" scope:"read-write,non-persistent" key:"each"`
	}{leaf{"1", "", "2", "3"}, map[string][]string{"a": {"x", "y"}}})
	row(t, "keys/untagged", &struct {
		Top  string
		Skip string `vic:"-"`
		executor.Common
	}{Top: "1", Common: executor.Common{ExecutionEnvironment: "e", ID: "i", Name: "n", Notes: "o"}})
}

// TestNestingGolden has every combination of scope words over another, and what an untagged field inherits from it.
func TestNestingGolden(t *testing.T) {
	scopes := []string{
		"", "hidden", "read-only", "read-write", "volatile", "secret", "non-persistent", "hidden,secret", "read-only,secret", "read-write,secret",
		"read-only,non-persistent", "read-write,non-persistent", "secret,non-persistent", "read-write,secret,non-persistent",
	}
	field := func(name, scope string, typ reflect.Type) reflect.StructField {
		f := reflect.StructField{Name: strings.ToUpper(name), Type: typ}
		if scope != "" {
			f.Tag = reflect.StructTag(fmt.Sprintf(`vic:"0.1" scope:"%s" key:"%s"`, scope, name))
		}
		return f
	}
	var b strings.Builder
	for _, outer := range scopes {
		for _, inner := range scopes {
			untagged := reflect.StructOf([]reflect.StructField{field("c", "", reflect.TypeFor[string]())})
			typ := reflect.StructOf([]reflect.StructField{field("a", outer, reflect.MapOf(reflect.TypeFor[string](),
				reflect.StructOf([]reflect.StructField{field("b", inner, untagged)})))})
			keys, err := extraconfig.Templates(typ)
			if err != nil {
				t.Fatalf("%q over %q: %v", outer, inner, err)
			}
			fmt.Fprintf(&b, "%-32s over %-32s %s\n", outer, inner, strings.Join(keys, "  "))
		}
	}
	golden(t, "testdata/golden/keys/nesting.txt", b.String())
}

type number int16

// TestValuesGolden has the rows of the table of values.
func TestValuesGolden(t *testing.T) {
	row(t, "values/string", &struct{ Empty, Text string }{"", "naïve \"quoted\" | a=b\n"})
	row(t, "values/integer-bool", &struct {
		Zero, Min int64
		Max       uint64
		Small     number
		True, No  bool
	}{0, math.MinInt64, math.MaxUint64, -7, true, false})
	row(t, "values/list", &struct {
		Strings    []string
		One, Blank []string
		Ints       []int
		Bytes      []uint16
		None       []string
	}{[]string{"a", "", "c"}, []string{"x"}, []string{""}, []int{-1, 0, 22}, []uint16{65535}, nil})
	type element struct {
		Name string
		List []int
	}
	row(t, "values/list-of-structs", &struct {
		Structs  []element      `vic:"0.1" scope:"read-only" key:"s"`
		Addrs    []netip.Addr   `vic:"0.1" scope:"read-write" key:"a"`
		Prefixes []netip.Prefix `vic:"0.1" scope:"read-only" key:"p"`
		None     []element
	}{
		[]element{{"a", []int{1, 2}}, {"b", nil}, {}, {}, {}, {}, {}, {}, {}, {}, {"tenth", nil}},
		[]netip.Addr{addrOf("10.0.0.1"), addrOf("fd00::1")},
		[]netip.Prefix{prefixOf("10.0.0.0/8"), prefixOf("0.0.0.0/0")}, nil,
	})
	row(t, "values/bytes", &struct{ Some, None []byte }{[]byte("\x00\xff?>"), nil})
	row(t, "values/map", &struct {
		Strings map[string]string         `vic:"0.1" scope:"hidden" key:"strings"`
		Structs map[string]element        `vic:"0.1" scope:"read-only" key:"structs"`
		Pointed map[string]*element       `vic:"0.1" scope:"read-write" key:"pointed"`
		Maps    map[string]map[string]int `vic:"0.1" scope:"read-only" key:"maps"`
		None    map[string]string
	}{
		map[string]string{"a": "1", "b/c.d": "", "Z": "3", "a-b": "4"},
		map[string]element{"web": {Name: "w"}, "web.1": {List: []int{5}}, "web-2": {}},
		map[string]*element{"x": {Name: "x"}},
		map[string]map[string]int{"outer": {"in|ner": 1, "other": 2}}, nil,
	})
	one, text := 0, ""
	row(t, "values/pointer", &struct {
		Nil     *int
		Zero    *int
		Empty   *string
		Struct  *element
		Nothing *element
		Prefix  *netip.Prefix
	}{Zero: &one, Empty: &text, Struct: &element{Name: "s"}})
	row(t, "values/struct", &struct {
		S struct {
			A string
			T struct{ B string }
		}
	}{})
	row(t, "values/time", &struct{ Zero, Half, Nano time.Time }{
		time.Time{}, time.Date(2017, 7, 14, 2, 40, 0, 5e8, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	})
	row(t, "values/cidr", &struct {
		V4   netip.Prefix `vic:"0.1" scope:"read-only" key:"v4"`
		V6   netip.Prefix `vic:"0.1" scope:"read-write" key:"v6"`
		Odd  netip.Prefix `vic:"0.1" scope:"hidden" key:"odd"`
		None netip.Prefix
	}{prefixOf("172.16.0.2/16"), prefixOf("fd00::2/64"), prefixOf("10.1.2.3/27"), netip.Prefix{}})
	row(t, "values/range", &struct {
		Pool executor.Range `vic:"0.1" scope:"read-only" key:"pool"`
	}{executor.Range{First: addrOf("10.0.0.1"), Last: addrOf("10.0.0.9")}})
	row(t, "values/url", &struct {
		URL    url.URL         `vic:"0.1" scope:"read-only" key:"url"`
		Source executor.Source `vic:"0.1" scope:"read-write" key:"source"`
	}{
		url.URL{Scheme: "https", Host: "h:1", Path: "/a b", RawPath: "/a%20b", ForceQuery: true, RawQuery: "q=1", Fragment: "f"},
		executor.Source{Scheme: "mail", Opaque: "x"},
	})
}

// TestFieldsGolden has the types of the table of fields.
func TestFieldsGolden(t *testing.T) {
	c, full := newCodec(t), full()
	for file, path := range map[string][]string{
		"executor": nil, "session": {"sessions", "web.1"}, "exec": {"execs", "e1"}, "diagnostics": {"diagnostics"}, "mount": {"mounts", "data"},
		"endpoint": {"networks", "ext.prod"}, "network": {"networks", "ext.prod", "network"}, "version": {"version"},
	} {
		keys, err := c.EncodePart(full, path, extraconfig.WithSecretKey(secretKey))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "golden", "fields", file+".txt"), lines(keys))
		if keys.Len() == 0 {
			t.Errorf("%s has no keys", file)
		}
	}
}

// full is an executor that has everything once.
func full() *executor.ExecutorConfig {
	diagnostics := executor.Diagnostics{
		DebugLevel: 1, ResurrectionCount: 2,
		ExitLogs:     []executor.ExitLog{{Time: time.Unix(1500000000, 5e8).UTC(), ExitStatus: 3, Message: "gone"}},
		SysLogConfig: &executor.SysLogConfig{Network: "udp", RAddr: "10.0.0.1:514"},
	}
	session := func(id string) *executor.SessionConfig {
		return &executor.SessionConfig{
			Common: executor.Common{ExecutionEnvironment: "env", ID: id, Name: "name", Notes: "notes"},
			Detail: executor.Detail{CreateTime: 1, StartTime: 2, StopTime: 3},
			Cmd:    executor.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "true"}, Env: []string{"A=1"}, Dir: "/"},
			Attach: true, OpenStdin: true, RunBlock: true, Active: true, Tty: true, ExitStatus: 4, Started: "true", Restart: true,
			StopSignal: "TERM", Diagnostics: diagnostics, User: "root", Group: "wheel",
		}
	}
	ip := prefixOf("172.16.0.2/16")
	c := &executor.ExecutorConfig{
		Common:      executor.Common{ExecutionEnvironment: "env", ID: "id", Name: "name", Notes: "notes"},
		CreateTime:  1500000000000000001,
		Diagnostics: diagnostics,
		Sessions:    map[string]*executor.SessionConfig{"web.1": session("web.1")},
		Execs:       map[string]*executor.SessionConfig{"e1": session("e1")},
		Mounts: map[string]executor.MountSpec{"data": {
			Source: executor.Source{Scheme: "nfs", Host: "filer", Path: "/export", User: url.UserPassword("u", "p")},
			Path:   "/data", Mode: "rw", CopyMode: executor.CopyNew,
		}},
		Networks: map[string]*executor.NetworkEndpoint{"ext.prod": {
			Common: executor.Common{ExecutionEnvironment: "env", ID: "192", Name: "ext.prod", Notes: "notes"},
			Static: true, IP: &ip, Assigned: prefixOf("172.16.0.3/16"), Ports: []string{"80/tcp", "8443:443/tcp"}, Internal: true, NetworkRef: "prod",
			Network: executor.ContainerNetwork{
				Common: executor.Common{ExecutionEnvironment: "env", ID: "dvs-1", Name: "prod", Notes: "notes"},
				Type:   "external", Destinations: []netip.Prefix{prefixOf("10.0.0.0/8")}, Gateway: prefixOf("172.16.0.1/16"), Default: true,
				Nameservers: []netip.Addr{addrOf("9.9.9.9")},
				Pools:       []executor.Range{{First: addrOf("172.16.0.10"), Last: addrOf("172.16.0.99")}},
				Aliases:     []string{"c0ffee:web"}, TrustLevel: executor.TrustOpen,
				Assigned: executor.AssignedNetwork{Gateway: prefixOf("172.16.0.1/16"), Nameservers: []netip.Addr{addrOf("fd00::53")}},
			},
		}},
		Key: []byte("key"), LayerID: "layer", ImageID: "image", Annotations: map[string]string{"com.example/team": "red"}, RepoName: "busybox",
		Version:           &executor.Version{Version: "1", GitCommit: "c", BuildDate: "d", BuildNumber: "n", State: "clean", PluginVersion: 5},
		AsymmetricRouting: true, Hostname: "host", Domainname: "example.com",
	}
	c.Canonicalize()
	return c
}

func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }
