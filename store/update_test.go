package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// update changes an executor and compares the answer with what reading it gives.
func (f *fixture) update(id string, change func(*executor.ExecutorConfig), opts ...store.WriteOption) *store.Executor {
	f.Helper()
	e, err := f.UpdateExecutor(f.Context(), id, func(c *executor.ExecutorConfig) error {
		change(c)
		return nil
	}, opts...)
	f.must(err)
	f.same(e, f.get(id))
	return e
}

func TestUpdate(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	e := f.update("web", func(c *executor.ExecutorConfig) {
		c.ID = "" // its default
		c.Execs["e2"] = &executor.SessionConfig{}
		c.Sessions["main"].Cmd.Args[0] = "changed in place"
	})
	f.at(e, 2, 2)
	if e.Config.ID != "web" || e.Config.Execs["e2"].ID != "e2" || e.Config.Sessions["main"].Cmd.Args[0] != "changed in place" {
		t.Errorf("updated: %s", show(e))
	}
	f.still(func() {
		f.at(f.update("web", func(*executor.ExecutorConfig) {}), 2, 2)
		_, err := f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error { c.ID = "other"; return nil })
		f.faults(err, "id")
		_, err = f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error { c.Hostname = "\x00"; return nil })
		f.faults(err, "hostname")
		own := errors.New("the change's own")
		_, err = f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error { c.Hostname = "x"; return own })
		f.mustFail(err, own)
		if f.get("web").Config.Hostname != "web" {
			t.Error("a change that failed was made")
		}
		_, err = f.UpdateExecutor(t.Context(), "nobody", func(*executor.ExecutorConfig) error { return nil })
		f.mustFail(err, store.ErrNotFound)
	})
}

// TestUpdateOfReports: a client may set them, which moves the second revision alone and leaves what the VM is known to hold.
func TestUpdateOfReports(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	f.confirm("web", "i1", map[string]string{"a": "b"})
	reset := func(c *executor.ExecutorConfig) {
		c.Sessions["main"].Started, c.Sessions["main"].ExitStatus = "", 0
		c.Sessions["new"] = &executor.SessionConfig{ExitStatus: 1}
	}
	f.report("web", func(c *executor.ExecutorConfig) {
		c.Sessions["main"].Started, c.Sessions["main"].ExitStatus = "true", 7
	})
	f.confirm("web", "i1", map[string]string{"a": "b"})
	before := f.revision()
	kept := f.update("web", reset, store.KeepReports())
	if kept.Config.Sessions["main"].ExitStatus != 7 || kept.Config.Sessions["new"].ExitStatus != 1 {
		t.Errorf("with KeepReports: %s", show(kept))
	}
	f.at(kept, before+1, before+1)
	e := f.update("web", reset)
	f.at(e, before+1, before+2)
	f.tags("web", map[string]string{"sessions/main": fmt.Sprint("1-", before+2), "sessions/new": fmt.Sprint(before+1, "-", before+1)})
	if e.Binding.Base["a"] != "b" {
		t.Errorf("the base is %v", e.Binding.Base)
	}
	if got := f.event(before + 1); got.Action != store.ActionUpdate || got.Values["sessions.main.exitStatus"] != "0" {
		t.Errorf("the event is %+v", got)
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 4 {
				_, err := f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error {
					c.Sessions[fmt.Sprintf("s%d-%d", w, i)] = &executor.SessionConfig{}
					return nil
				}, store.KeepReports())
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range 4 {
			_, err := f.Report(t.Context(), "web", "i1", nil, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
				c.Sessions["main"].ExitStatus++
				return nil, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if e := f.get("web"); len(e.Config.Sessions) != 17 || e.Config.Sessions["main"].ExitStatus != 4 {
		t.Errorf("%d sessions of 17, %d reports of 4", len(e.Config.Sessions), e.Config.Sessions["main"].ExitStatus)
	}
}

// TestLeavingANetworkByUpdate: networkRef alone goes, and the last snapshot is the endpoint's own from then on.
func TestLeavingANetworkByUpdate(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	cfg.Networks = map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "net", Network: executor.ContainerNetwork{Aliases: []string{"own"}}}}
	before, err := f.KeySet(f.create(cfg))
	f.must(err)
	e := f.update("web", func(c *executor.ExecutorConfig) { c.Networks["eth0"].NetworkRef = "" })
	want := bridge("net", func(n *executor.ContainerNetwork) { n.Aliases, n.Default = []string{"own"}, false })
	if got := &e.Config.Networks["eth0"].Network; !reflect.DeepEqual(got, want) {
		t.Errorf("the endpoint holds\n%+v\nwant\n%+v", got, want)
	}
	if after, err := f.KeySet(e); err != nil || after.Digest() != before.Digest() {
		t.Errorf("the VM would have other keys (%v)", err)
	}
	if got := f.event(2).Fields; len(got) != 1 || got[0] != "networks.eth0.networkRef" {
		t.Errorf("fields %q", got)
	}
	f.must(f.DeleteNetwork(t.Context(), "net"))

	// And it may follow again.
	f.network("net", func(n *executor.ContainerNetwork) { n.Notes = "another" })
	e = f.update("web", func(c *executor.ExecutorConfig) { c.Networks["eth0"].NetworkRef = "net" })
	if got := e.Config.Networks["eth0"].Network; got.Notes != "another" || got.Aliases[0] != "own" {
		t.Errorf("the endpoint holds %+v", got)
	}
}

func TestUpdateOfANetwork(t *testing.T) {
	f := open(t)
	made := f.network("net", nil)
	n, err := f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error {
		n.Config.Name, n.Config.Nameservers[0] = "", n.Config.Gateway.Addr()
		n.CreateTime = n.CreateTime.AddDate(1, 0, 0)
		return nil
	})
	f.must(err)
	if n.Revision != 2 || n.Config.Name != "net" || n.Config.Nameservers[0] != made.Config.Gateway.Addr() || !n.CreateTime.Equal(made.CreateTime.AddDate(1, 0, 0)) {
		t.Errorf("updated: %+v", n)
	}
	f.race = func() {
		_, err := f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error { n.Annotations = map[string]string{"a": "1"}; return nil })
		f.must(err)
	}
	n, err = f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error { n.Config.Notes = "moved"; return nil })
	f.must(err)
	if n.Revision != 4 || n.Annotations["a"] != "1" {
		t.Errorf("updated: %+v", n)
	}
	f.still(func() {
		_, err = f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error { n.Config.Name = "other"; return nil })
		f.faults(err, "name")
		_, err = f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error { n.Config.Notes = "\x00"; return nil })
		f.faults(err, "notes")
		_, err = f.UpdateNetwork(t.Context(), "net", func(*store.Network) error { return nil })
		f.must(err)
		_, err = f.UpdateNetwork(t.Context(), "nowhere", func(*store.Network) error { return nil })
		f.mustFail(err, store.ErrNotFound)
	})
}
