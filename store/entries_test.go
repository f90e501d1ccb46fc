package store_test

import (
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// tags checks the tags of entries, written map/name=config-revision.
func (f *fixture) tags(id string, want map[string]string) {
	f.Helper()
	e := f.get(id)
	for name, tag := range want {
		got, ok := e.Entry(name)
		if text := got.String(); ok != (tag != "") || ok && text != tag {
			f.Errorf("%s is at %s (%v), want %q", name, text, ok, tag)
		}
	}
}

func TestEntriesHaveRevisionsOfTheirOwn(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1") // commits 2 and 3
	f.tags("web", map[string]string{
		"sessions/main": "1-1", "execs/e1": "1-1", "mounts/data": "1-1", "networks/eth0": "1-1",
		"sessions/other": "", "main": "", "sessions": "", "": "", "annotations/owner": "",
	})
	f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].Started = "true" })
	f.tags("web", map[string]string{"sessions/main": "1-4", "execs/e1": "1-1", "networks/eth0": "1-1"})
	f.put("web", func(c *executor.ExecutorConfig) { c.Execs["e1"].Tty = true })
	f.tags("web", map[string]string{"sessions/main": "1-4", "execs/e1": "5-5", "networks/eth0": "1-1"})
	f.put("web", func(c *executor.ExecutorConfig) {
		c.Sessions["new"] = &executor.SessionConfig{}
		delete(c.Execs, "e1")
		c.Networks["eth0"].Static = false
	})
	f.tags("web", map[string]string{"sessions/main": "1-4", "sessions/new": "6-6", "execs/e1": "", "networks/eth0": "6-6", "mounts/data": "1-1"})
	f.put("web", func(c *executor.ExecutorConfig) {
		c.Hostname = "other"
		c.Mounts["data"] = executor.MountSpec{Source: c.Mounts["data"].Source, Path: "/other"}
	})
	f.tags("web", map[string]string{"sessions/main": "1-4", "sessions/new": "6-6", "mounts/data": "7-7"})
	f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["new"].ExitStatus = 1 })
	f.put("web", func(c *executor.ExecutorConfig) { c.Execs = map[string]*executor.SessionConfig{"e1": {}} })
	f.tags("web", map[string]string{"sessions/main": "1-4", "sessions/new": "6-8", "execs/e1": "9-9"})
	f.reopen()
	f.tags("web", map[string]string{"sessions/main": "1-4", "sessions/new": "6-8", "execs/e1": "9-9", "mounts/data": "7-7"})
}

// TestAnEndpointChangesWithTheNetworkItFollows: its own tag and the executor's move, those of other endpoints do not.
func TestAnEndpointChangesWithTheNetworkItFollows(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.network("other", nil)
	cfg := f.web("web")
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"}
	cfg.Networks["eth2"] = &executor.NetworkEndpoint{NetworkRef: "other"}
	f.at(f.create(cfg), 3, 3)
	_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = "moved" })})
	f.must(err)
	f.at(f.get("web"), 4, 4)
	f.tags("web", map[string]string{"networks/eth0": "3-3", "networks/eth1": "4-4", "networks/eth2": "3-3", "sessions/main": "3-3"})
	f.bound("web", "vm1", "i1")
	f.report("web", func(c *executor.ExecutorConfig) {
		c.Networks["eth2"].Network.Assigned.Gateway = c.Networks["eth2"].Network.Gateway
	})
	f.at(f.get("web"), 4, 7)
	f.tags("web", map[string]string{"networks/eth0": "3-3", "networks/eth1": "4-4", "networks/eth2": "3-7"})
}
