package executor

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// valid is a document that uses every rule of Validate and breaks none.
const valid = `{
	"id": "web-1", "name": "web", "createTime": "2026-01-02T03:04:05.000000006Z",
	"annotations": {"com.example/team": "a", "with | bar": "b", "ctrl\u0001": "c"},
	"sessions": {"web": {"cmd": {"path": "/bin/web", "args": ["web", ""], "env": ["A=\t\r\n"]}}},
	"execs": {"web": {"cmd": {"path": "/bin/sh"}}},
	"mounts": {
		"data": {"source": "label://data", "path": "/data", "copyMode": "new"},
		"home": {"source": "nfs://user:secret@filer/export?uid=1", "path": "/home"}
	},
	"networks": {
		"front": {
			"static": true, "ip": "10.1.0.2/16", "ports": ["80/tcp", "8443:443/tcp"],
			"network": {
				"name": "front", "gateway": "10.1.0.1/16", "destinations": ["10.2.0.9/16"],
				"nameservers": ["10.1.0.53", "fd00::53"], "pools": ["10.1.2.0/24", "10.1.3.1-10.1.3.9"], "trustLevel": "peers"
			}
		},
		"v6": {"ip": "fd00::2/64", "network": {"gateway": "fd00::1/64", "pools": ["fd00::10-fd00::ffff"]}}
	}
}`

func parse(t *testing.T, doc string) *ExecutorConfig {
	t.Helper()
	c := new(ExecutorConfig)
	if err := json.Unmarshal([]byte(doc), c); err != nil {
		t.Fatalf("parse: %v", err)
	}
	c.Canonicalize()
	return c
}

func TestValidateAcceptsAValidDocument(t *testing.T) {
	if err := parse(t, valid).Validate(); err != nil {
		t.Fatal(err)
	}
}

// TestValidateNamesTheField breaks one rule at a time in the valid document.
func TestValidateNamesTheField(t *testing.T) {
	for _, tc := range []struct {
		name   string
		breaks func(*ExecutorConfig)
		field  string
	}{
		{"no id", func(c *ExecutorConfig) { c.ID = "" }, "id"},
		{"id with a slash", func(c *ExecutorConfig) { c.ID = "a/b" }, "id"},
		{"id with a leading dot", func(c *ExecutorConfig) { c.ID = ".a" }, "id"},
		{"long id", func(c *ExecutorConfig) { c.ID = strings.Repeat("a", 129) }, "id"},
		{"name is <nil>", func(c *ExecutorConfig) { c.Name = "<nil>" }, "name"},
		{"notes with NUL", func(c *ExecutorConfig) { c.Notes = "a\x00" }, "notes"},
		{"hostname not UTF-8", func(c *ExecutorConfig) { c.Hostname = "a\xff" }, "hostname"},
		{"domainname with U+FFFE", func(c *ExecutorConfig) { c.Domainname = "a\ufffe" }, "domainname"},
		{"layer with U+FFFF", func(c *ExecutorConfig) { c.LayerID = "\uffff" }, "layerId"},
		{"repository with DEL", func(c *ExecutorConfig) { c.RepoName = "\x7f" }, "repoName"},
		{"environment with C1", func(c *ExecutorConfig) { c.ExecutionEnvironment = "\u0085" }, "executionEnvironment"},
		{"created before 1970", func(c *ExecutorConfig) { c.CreateTime = -1 }, "createTime"},
		{"version with a bell", func(c *ExecutorConfig) { c.Version = &Version{State: "\a"} }, "version.state"},
		{"annotation <nil>", func(c *ExecutorConfig) { c.Annotations["a"] = "<nil>" }, "annotations.a"},
		{"annotation key <nil>", func(c *ExecutorConfig) { c.Annotations["<nil>"] = "" }, "annotations.<nil>"},
		{"annotation key empty", func(c *ExecutorConfig) { c.Annotations[""] = "" }, "annotations"},
		{"annotation keys equal but for case", func(c *ExecutorConfig) { c.Annotations["A"], c.Annotations["a"] = "", "" }, "annotations.a"},
		{"session with a bar", func(c *ExecutorConfig) { c.Sessions["a|b"] = &SessionConfig{Common: Common{ID: "a|b"}} }, "sessions.a|b"},
		{"sessions equal but for case", func(c *ExecutorConfig) { c.Sessions["WEB"] = &SessionConfig{Common: Common{ID: "WEB"}} }, "sessions.web"},
		{"session with another id", func(c *ExecutorConfig) { c.Sessions["web"].ID = "other" }, "sessions.web.id"},
		{"env with escape", func(c *ExecutorConfig) { c.Sessions["web"].Cmd.Env = []string{"OK=1", "A=\x1b"} }, "sessions.web.cmd.env.1"},
		{"arg is <nil>", func(c *ExecutorConfig) { c.Execs["web"].Cmd.Args = []string{"<nil>"} }, "execs.web.cmd.args.0"},
		{"start time beyond RFC 3339", func(c *ExecutorConfig) { c.Sessions["web"].Detail.StartTime = 1 << 62 }, "sessions.web.detail.startTime"},
		{"stop time before RFC 3339", func(c *ExecutorConfig) { c.Execs["web"].Detail.StopTime = -1 << 40 }, "execs.web.detail.stopTime"},
		{"exit log message", func(c *ExecutorConfig) { c.Sessions["web"].Diagnostics.ExitLogs = []ExitLog{{Message: "\x01"}} }, "sessions.web.diagnostics.exitLogs.0.message"},
		{"syslog address", func(c *ExecutorConfig) { c.Diagnostics.SysLogConfig = &SysLogConfig{RAddr: "\x01"} }, "diagnostics.sysLogConfig.rAddr"},
		{"relative mount", func(c *ExecutorConfig) { c.Mounts["data"] = MountSpec{Source: c.Mounts["data"].Source, Path: "data"} }, "mounts.data.path"},
		{"two mounts at one path", func(c *ExecutorConfig) { c.Mounts["home"] = MountSpec{Source: c.Mounts["data"].Source, Path: "/data/"} }, "mounts.home.path"},
		{"mount without source", func(c *ExecutorConfig) { c.Mounts["data"] = MountSpec{Path: "/data"} }, "mounts.data.source"},
		{"label <nil>", func(c *ExecutorConfig) {
			c.Mounts["data"] = MountSpec{Source: Source{Scheme: "label", Path: "<nil>"}, Path: "/d"}
		}, "mounts.data.source"},
		{"endpoint with another name", func(c *ExecutorConfig) { c.Networks["front"].Name = "back" }, "networks.front.name"},
		{"endpoint in another's keys", func(c *ExecutorConfig) {
			c.Networks["Front.Network"] = &NetworkEndpoint{Common: Common{Name: "Front.Network"}}
		}, "networks.Front.Network"},
		{"port 0", func(c *ExecutorConfig) { c.Networks["front"].Ports[0] = "0/tcp" }, "networks.front.ports.0"},
		{"port 65536", func(c *ExecutorConfig) { c.Networks["front"].Ports[1] = "65536:80/tcp" }, "networks.front.ports.1"},
		{"unknown protocol", func(c *ExecutorConfig) { c.Networks["front"].Ports[1] = "80/icmp" }, "networks.front.ports.1"},
		{"reference with a slash", func(c *ExecutorConfig) { c.Networks["front"].NetworkRef = "a/b" }, "networks.front.networkRef"},
		{"pool outside the gateway's prefix", func(c *ExecutorConfig) {
			r, _ := ParseRange("10.2.0.1-10.2.0.9")
			c.Networks["front"].Network.Pools[1] = r
		}, "networks.front.network.pools.1"},
		{"pools that overlap", func(c *ExecutorConfig) {
			r, _ := ParseRange("10.1.2.255-10.1.3.0")
			c.Networks["front"].Network.Pools[1] = r
		}, "networks.front.network.pools.1"},
		{"pool of two families", func(c *ExecutorConfig) {
			n := &c.Networks["front"].Network
			n.Pools[0].Last = n.Nameservers[1]
		}, "networks.front.network.pools.0"},
		{"alias with NUL", func(c *ExecutorConfig) { c.Networks["v6"].Network.Aliases = []string{"\x00"} }, "networks.v6.network.aliases.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := parse(t, valid)
			tc.breaks(c)
			var faults Faults
			if err := c.Validate(); !errors.As(err, &faults) {
				t.Fatalf("accepted")
			}
			if len(faults) != 1 || faults[0].Field != tc.field {
				t.Errorf("got %q, want one fault of %s", faults, tc.field)
			}
		})
	}
}

func TestValidateReportsAllFaultsAtOnce(t *testing.T) {
	c := parse(t, valid)
	c.ID = ""
	c.Sessions["web"].Cmd.Env = []string{"\x00", "ok", "\x00"}
	c.Networks["front"].Ports = []string{"http"}
	var faults Faults
	if err := c.Validate(); !errors.As(err, &faults) || len(faults) != 4 {
		t.Fatalf("got %v, want 4 faults", err)
	}
}

func TestValidateNetworkAndVM(t *testing.T) {
	if err := (&ContainerNetwork{Common: Common{Name: "front"}}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&ContainerNetwork{}).Validate(); err == nil {
		t.Error("a container network without a name was accepted")
	}
	if err := (&ContainerVM{Aliases: map[string]string{"a": "b"}}).Validate(); err != nil {
		t.Error(err)
	}
	var faults Faults
	err := (&ContainerVM{Version: "\x00", Aliases: map[string]string{"a": "\x00"}}).Validate()
	if !errors.As(err, &faults) || len(faults) != 2 || faults[1].Field != "aliases.a" {
		t.Errorf("got %v", err)
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "a.b-c_d": true, strings.Repeat("x", 128): true,
		"": false, "-a": false, "_a": false, "a b": false, "a/b": false, "a|b": false, "ä": false, strings.Repeat("x", 129): false, "a\n": false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}
