package store_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// TestFieldsOfAnEvent: what changed, field by field, and the values of read-write fields alone.
func TestFieldsOfAnEvent(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	other, err := executor.ParseSource("nfs://user:another-pass-word@host/export")
	f.must(err)
	f.secrets = append(f.secrets, "another-pass-word")
	address := netip.MustParsePrefix("172.16.0.7/16")
	for _, c := range []struct {
		name   string
		change func(*executor.ExecutorConfig)
		fields []string
		values map[string]string
	}{
		{"embedded fields", func(c *executor.ExecutorConfig) {
			c.Name, c.Notes = "new", "new"
			c.Sessions["main"].Name, c.Networks["eth0"].ID, c.Networks["eth0"].Network.Name = "n", "192", "lan"
		}, []string{"name", "networks.eth0.id", "networks.eth0.network.name", "notes", "sessions.main.name"}, nil},
		{"lists are one field", func(c *executor.ExecutorConfig) { c.Sessions["main"].Cmd.Args = []string{"main", "-v"} }, []string{"sessions.main.cmd.args"}, nil},
		{"addresses too", func(c *executor.ExecutorConfig) { c.Networks["eth0"].IP = &address }, []string{"networks.eth0.ip"}, nil},
		{"also when they go", func(c *executor.ExecutorConfig) { c.Networks["eth0"].IP = nil }, []string{"networks.eth0.ip"}, nil},
		{"what was not there", func(c *executor.ExecutorConfig) { c.Version = &executor.Version{Version: "1"} }, []string{"version"}, nil},
		{"inside what is there", func(c *executor.ExecutorConfig) { c.Version.State = "dirty" }, []string{"version.state"}, nil},
		{"entries that come", func(c *executor.ExecutorConfig) {
			c.Sessions["a.b"] = &executor.SessionConfig{ExitStatus: 4}
			c.Annotations["x.y"] = "z"
		}, []string{"annotations.x.y", "sessions.a.b"}, nil},
		{"entries that go", func(c *executor.ExecutorConfig) {
			delete(c.Sessions, "a.b")
			c.Annotations = nil
		}, []string{"annotations.owner", "annotations.x.y", "sessions.a.b"}, nil},
		{"secrets", func(c *executor.ExecutorConfig) {
			c.Key = []byte("another-private-key")
			c.Mounts["data"] = executor.MountSpec{Source: other, Path: "/data", Mode: "ro"}
		}, []string{"key", "mounts.data.mode", "mounts.data.source"}, nil},
		{"following", func(c *executor.ExecutorConfig) { c.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"} }, []string{"networks.eth1"}, nil},
	} {
		before := f.revision()
		f.put("web", c.change)
		if e := f.event(before); e.Action != store.ActionUpdate || !slices.Equal(e.Fields, c.fields) || !maps.Equal(e.Values, c.values) {
			t.Errorf("%s: fields %q, values %v", c.name, e.Fields, e.Values)
		}
	}

	before := f.revision()
	f.report("web", func(c *executor.ExecutorConfig) {
		c.CreateTime = 1
		c.Diagnostics.ExitLogs = []executor.ExitLog{{ExitStatus: 2, Message: "m"}}
		c.Sessions["main"].Started, c.Sessions["main"].ExitStatus, c.Sessions["main"].Detail.StopTime = "true", -1, 1
		c.Networks["eth0"].Assigned = address
		c.Networks["eth1"].Network.Assigned.Nameservers = []netip.Addr{address.Addr()}
	})
	want := map[string]string{
		"createTime":                                 "1970-01-01T00:00:00.000000001Z",
		"diagnostics.exitLogs":                       `[{"exitStatus":2,"message":"m"}]`,
		"networks.eth0.assigned":                     "172.16.0.7/16",
		"networks.eth1.network.assigned.nameservers": `["172.16.0.7"]`,
		"sessions.main.detail.stopTime":              "1970-01-01T00:00:01Z",
		"sessions.main.exitStatus":                   "-1",
		"sessions.main.started":                      "true",
	}
	if e := f.event(before); e.Action != store.ActionReport || !maps.Equal(e.Values, want) || !slices.Equal(e.Fields, slices.Sorted(maps.Keys(want))) {
		t.Errorf("fields %q\nvalues %q\nwant %q", e.Fields, e.Values, want)
	}
	before = f.revision()
	f.report("web", func(c *executor.ExecutorConfig) {
		c.Diagnostics.ExitLogs, c.Sessions["main"].Started, c.Sessions["main"].Detail.StopTime = nil, "", 0
		c.Networks["eth0"].Assigned = netip.Prefix{}
	})
	want = map[string]string{"diagnostics.exitLogs": "[]", "networks.eth0.assigned": "", "sessions.main.detail.stopTime": "", "sessions.main.started": ""}
	if e := f.event(before); !maps.Equal(e.Values, want) {
		t.Errorf("values that went: %q, want %q", e.Values, want)
	}
}
