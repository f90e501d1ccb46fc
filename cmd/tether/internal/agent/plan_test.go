//go:build linux

package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/executor"
)

func source(t *testing.T, s string) executor.Source {
	t.Helper()
	src, err := executor.ParseSource(s)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// full has something of everything.
func full(t *testing.T) *executor.ExecutorConfig {
	ip := netip.MustParsePrefix("10.1.0.2/16")
	return &executor.ExecutorConfig{
		Hostname: "web", Domainname: "example",
		Sessions: map[string]*executor.SessionConfig{
			"web":  {Active: true, Cmd: executor.Cmd{Path: "/bin/httpd"}},
			"held": {Active: true, RunBlock: true},
			"idle": {},
		},
		Execs: map[string]*executor.SessionConfig{
			"new": {Active: true}, "ran": {Active: true, Started: "true"}, "lost": {Active: true, Detail: executor.Detail{StopTime: 7}},
		},
		Mounts: map[string]executor.MountSpec{
			"a": {Source: source(t, "label:///deep"), Path: "/srv/deep"}, "b": {Source: source(t, "label:///top"), Path: "/srv"},
			"c": {Source: source(t, "nfs://u:p@nas/x"), Path: "/srv-other"},
		},
		Networks: map[string]*executor.NetworkEndpoint{
			"eth1": {}, "eth0": {Static: true, IP: &ip, Network: executor.ContainerNetwork{Gateway: netip.MustParsePrefix("10.1.0.1/16"), Nameservers: []netip.Addr{netip.MustParseAddr("10.1.0.53")}}},
		},
	}
}

func texts(actions []action) []string {
	var all []string
	for _, a := range actions {
		text := string(a.kind)
		if a.name != "" {
			text += " " + a.name
		} else if a.session.id != "" {
			text += " " + a.session.String()
		}
		all = append(all, text)
	}
	return all
}

func TestPlanOfABoot(t *testing.T) {
	want := []string{
		"set the hostname", "join a network eth0", "join a network eth1", "set the nameservers",
		"attach a mount b", "attach a mount c", "attach a mount a", // /srv, /srv-other, /srv/deep
		"start a session sessions.web", "start a session execs.new",
	}
	if got := texts(plan(&executor.ExecutorConfig{}, full(t))); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	all := texts(plan(full(t), &executor.ExecutorConfig{}))
	if want := []string{
		"remove a session sessions.held", "remove a session sessions.idle", "remove a session sessions.web",
		"remove a session execs.lost", "remove a session execs.new", "remove a session execs.ran",
		"set the hostname", "detach a mount a", "detach a mount c", "detach a mount b",
		"leave a network eth0", "leave a network eth1", "set the nameservers",
	}; !slices.Equal(all, want) {
		t.Errorf("to nothing: %q, want %q", all, want)
	}
}

// TestPlanOfAChange: each change leads to what it needs, and to nothing else.
func TestPlanOfAChange(t *testing.T) {
	for i, tc := range []struct {
		change func(c *executor.ExecutorConfig)
		want   []string
	}{
		{func(*executor.ExecutorConfig) {}, nil},
		{func(c *executor.ExecutorConfig) { c.Hostname = "other" }, []string{"set the hostname"}},
		{func(c *executor.ExecutorConfig) { c.Domainname = "other" }, []string{"set the hostname", "set the nameservers"}},
		{func(c *executor.ExecutorConfig) { c.AsymmetricRouting = true }, []string{"set the routing filter"}},
		{func(c *executor.ExecutorConfig) { c.Diagnostics.SysLogConfig = &executor.SysLogConfig{RAddr: "x:1"} }, []string{"leave it to others diagnostics.sysLogConfig"}},
		{func(c *executor.ExecutorConfig) { c.Diagnostics.DebugLevel, c.Key, c.Name = 1, []byte("x"), "x" }, nil},

		{func(c *executor.ExecutorConfig) { c.Sessions["web"].Started, c.Sessions["web"].ExitStatus = "true", 3 }, nil},
		{func(c *executor.ExecutorConfig) { c.Execs["new"].Started = "true" }, nil},
		{func(c *executor.ExecutorConfig) { c.Sessions["web"].Active = false }, []string{"stop a session sessions.web"}},
		{func(c *executor.ExecutorConfig) { delete(c.Sessions, "web") }, []string{"remove a session sessions.web"}},
		{func(c *executor.ExecutorConfig) { c.Sessions["idle"].Active = true }, []string{"start a session sessions.idle"}},
		{func(c *executor.ExecutorConfig) { c.Sessions["held"].RunBlock = false }, []string{"start a session sessions.held"}},
		{func(c *executor.ExecutorConfig) { c.Sessions["web"].RunBlock = true }, nil},
		{func(c *executor.ExecutorConfig) { c.Sessions["web"].Cmd.Env = []string{"A=1"} }, []string{"wait for the next start sessions.web"}},
		{func(c *executor.ExecutorConfig) { c.Sessions["idle"].Cmd.Env = []string{"A=1"} }, nil},
		{func(c *executor.ExecutorConfig) { c.Execs["late"] = &executor.SessionConfig{Active: true} }, []string{"start a session execs.late"}},
		{func(c *executor.ExecutorConfig) { delete(c.Execs, "new") }, []string{"remove a session execs.new"}},

		{func(c *executor.ExecutorConfig) {
			c.Mounts["b"] = executor.MountSpec{Source: c.Mounts["b"].Source, Path: "/srv", Mode: "ro"}
		}, []string{"detach a mount b", "attach a mount b"}},
		{func(c *executor.ExecutorConfig) {
			c.Mounts["b"] = executor.MountSpec{Source: c.Mounts["b"].Source, Path: "/srv", CopyMode: executor.CopyNew}
		}, nil},
		{func(c *executor.ExecutorConfig) {
			c.Mounts["d"] = executor.MountSpec{Path: "/d", CopyMode: executor.CopyNew}
		}, []string{"attach a mount d", "leave it to others mounts.d.copyMode"}},
		{func(c *executor.ExecutorConfig) { delete(c.Mounts, "a") }, []string{"detach a mount a"}},

		{func(c *executor.ExecutorConfig) {
			c.Networks["eth0"].Network.Nameservers = []netip.Addr{netip.MustParseAddr("10.1.0.54")}
		}, []string{"set the nameservers"}},
		{func(c *executor.ExecutorConfig) { c.Networks["eth0"].Assigned = *c.Networks["eth0"].IP }, nil},
		{func(c *executor.ExecutorConfig) {
			ip := netip.MustParsePrefix("10.1.0.3/16")
			c.Networks["eth0"].IP = &ip
		}, []string{"join a network eth0"}},
		{func(c *executor.ExecutorConfig) { c.Networks["eth0"].Network.Default = true }, []string{"join a network eth0", "set the nameservers"}},
		{func(c *executor.ExecutorConfig) { delete(c.Networks, "eth1") }, []string{"leave a network eth1", "set the nameservers"}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			to := full(t)
			tc.change(to)
			if got := texts(plan(full(t), to)); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
