package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

func TestCreate(t *testing.T) {
	f := open(t)
	cfg := f.web("web")
	made := f.create(cfg)
	f.same(made, f.get("web"))
	f.at(made, 1, 1)
	if made.Binding != nil || len(made.SecretKey) != 32 {
		t.Errorf("binding %v, a secret key of %d bytes", made.Binding, len(made.SecretKey))
	}
	if cfg.Sessions["main"].ID != "" {
		t.Error("the caller's document was changed")
	}
	if got := made.Config.Sessions["main"].ID; got != "main" {
		t.Errorf("the session's id is %q", got)
	}
	if e := f.event(0); e.Kind != store.KindExecutor || e.ID != "web" || e.Name != "web-name" || e.Action != store.ActionCreate || e.Fields != nil {
		t.Errorf("the event is %+v", e)
	}
	f.still(func() {
		_, err := f.CreateExecutor(t.Context(), cfg, nil)
		f.mustFail(err, store.ErrExists)
	})
}

func TestCreateMakesAnID(t *testing.T) {
	f := open(t)
	a, b := f.create(&executor.ExecutorConfig{}), f.create(&executor.ExecutorConfig{})
	if len(a.Config.ID) != 64 || strings.Trim(a.Config.ID, "0123456789abcdef") != "" || a.Config.ID == b.Config.ID {
		t.Errorf("ids %q and %q", a.Config.ID, b.Config.ID)
	}
	if reflect.DeepEqual(a.SecretKey, b.SecretKey) {
		t.Error("two executors have one secret key")
	}
}

func TestWhatIsNotThere(t *testing.T) {
	f := open(t)
	_, err := f.Executor(t.Context(), "web")
	f.mustFail(err, store.ErrNotFound)
	f.mustFail(f.DeleteExecutor(t.Context(), "web"), store.ErrNotFound)
	_, _, err = f.Bind(t.Context(), "web", store.Binding{Driver: "vsphere", Ref: "vm1"})
	f.mustFail(err, store.ErrNotFound)
	f.mustFail(f.Unbind(t.Context(), "web"), store.ErrNotFound)
	_, err = f.Network(t.Context(), "net")
	f.mustFail(err, store.ErrNotFound)
	f.mustFail(f.DeleteNetwork(t.Context(), "net"), store.ErrNotFound)
}

func TestPutCreates(t *testing.T) {
	f := open(t)
	cfg := f.web("web")
	cfg.Sessions["main"].ExitStatus = 7
	e, created, err := f.PutExecutor(t.Context(), cfg)
	f.must(err)
	f.same(e, f.get("web"))
	if !created || e.Config.Sessions["main"].ExitStatus != 7 {
		t.Errorf("created %v; at creation reports are taken too: %d", created, e.Config.Sessions["main"].ExitStatus)
	}
}

// TestPutLeavesReports: a client that sends back what it read, or nothing of it, takes nothing from the guest.
func TestPutLeavesReports(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	reported := f.report("web", func(c *executor.ExecutorConfig) {
		c.Sessions["main"].ExitStatus, c.Sessions["main"].Started = 3, "true"
		c.Diagnostics.ExitLogs = []executor.ExitLog{{ExitStatus: 3, Message: "gone"}}
	})
	cfg := f.web("web")
	cfg.Hostname = "other"
	cfg.Sessions["main"].ExitStatus = 99
	cfg.Sessions["new"] = &executor.SessionConfig{ExitStatus: 5}
	e, _, err := f.PutExecutor(t.Context(), cfg)
	f.must(err)
	f.same(e, f.get("web"))
	main := e.Config.Sessions["main"]
	if main.ExitStatus != 3 || main.Started != "true" || len(e.Config.Diagnostics.ExitLogs) != 1 {
		t.Errorf("the reports are %d %q %v", main.ExitStatus, main.Started, e.Config.Diagnostics.ExitLogs)
	}
	if got := e.Config.Sessions["new"].ExitStatus; got != 5 {
		t.Errorf("an entry that is new has %d, and not what the client says", got)
	}
	if e.Config.Hostname != "other" || e.Binding == nil || !reflect.DeepEqual(e.SecretKey, reported.SecretKey) {
		t.Errorf("after a PUT: %s", show(e))
	}
}

func TestReportsMoveTheSecondRevisionAlone(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	f.at(f.get("web"), 1, 1)
	f.at(f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 3 }), 1, 4)
	f.at(f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 4 }), 1, 5)
	f.at(f.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" }), 6, 6)
	f.at(f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 5 }), 6, 7)
	f.still(func() {
		f.at(f.report("web", func(*executor.ExecutorConfig) {}), 6, 7)
	})
}

func TestAWriteThatChangesNothing(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"}
	f.create(cfg)
	f.still(func() {
		f.at(f.put("web", func(*executor.ExecutorConfig) {}), 2, 2)
		f.at(f.put("web", func(c *executor.ExecutorConfig) {
			c.Sessions["main"].ExitStatus = 9                       // the guest's
			c.Networks["eth1"].Network.Type = "ignored"             // the network's
			c.Networks["eth1"].Network.Pools = []executor.Range{{}} // the network's, and not even valid
			c.Networks["eth0"].Ports = []string{}                   // as absent
			c.Annotations = map[string]string{"owner": "alice"}     // as it was
			c.Sessions["main"].ID, c.Networks["eth0"].Name = "", "" // their default
			c.Networks["eth1"].Network.Notes = "the network's "     // ignored
		}), 2, 2)
	})
	_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = "moved" })})
	f.must(err)
	f.still(func() { f.at(f.put("web", func(*executor.ExecutorConfig) {}), 3, 3) })
}

func TestDeleteLeavesNothing(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"}
	e, err := f.CreateExecutor(t.Context(), cfg, &store.Binding{Driver: "vsphere", Ref: "vm1"})
	f.must(err)
	before := f.revision()
	f.must(f.DeleteExecutor(t.Context(), "web"))
	if e := f.event(before); e.Kind != store.KindExecutor || e.Action != store.ActionDelete || e.ID != "web" || e.Name != "web-name" {
		t.Errorf("the event is %+v", e)
	}
	f.must(f.DeleteNetwork(t.Context(), "net"))
	if left := f.keys(""); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	cfg.Networks = nil
	if again := f.create(cfg); reflect.DeepEqual(again.SecretKey, e.SecretKey) {
		t.Error("an executor that was made again has the secret key of the old one")
	}
}

func TestFaultsComeAllAtOnce(t *testing.T) {
	f := open(t)
	cfg := f.web("web")
	cfg.Hostname = "\x00"
	cfg.Sessions["not a name"] = &executor.SessionConfig{}
	cfg.Mounts["data"] = executor.MountSpec{Source: cfg.Mounts["data"].Source, Path: "relative"}
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "nowhere"}
	_, err := f.CreateExecutor(t.Context(), cfg, &store.Binding{Driver: "", Ref: "a\x00b"})
	f.faults(err, "hostname", "sessions.not a name", "mounts.data.path", "networks.eth1.networkRef", "vm.driver", "vm.ref")
	_, _, err = f.PutExecutor(t.Context(), &executor.ExecutorConfig{})
	f.faults(err, "id")
	f.create(f.web("web"))
	_, _, err = f.PutExecutor(t.Context(), cfg)
	f.faults(err, "hostname", "sessions.not a name", "mounts.data.path", "networks.eth1.networkRef")
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	f := open(t)
	f.create(&executor.ExecutorConfig{Common: executor.Common{ID: "web"}})
	f.bound("web", "vm1", "i1")
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 5 {
				_, err := f.Report(t.Context(), "web", "i1", nil, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
					c.Diagnostics.ResurrectionCount++
					c.Diagnostics.ExitLogs = append(c.Diagnostics.ExitLogs, executor.ExitLog{Message: fmt.Sprint(w, i)})
					return nil, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if d := f.get("web").Config.Diagnostics; d.ResurrectionCount != 20 || len(d.ExitLogs) != 20 {
		t.Errorf("%d changes and %d logs of 20", d.ResurrectionCount, len(d.ExitLogs))
	}
}

// TestAConflictIsTriedAgain: a change that somebody else overtook is made once more, of what is there then.
func TestAConflictIsTriedAgain(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	cfg := f.web("web")
	cfg.Hostname = "other"
	f.race = func() { f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 3 }) }
	e, _, err := f.PutExecutor(t.Context(), cfg)
	f.must(err)
	f.same(e, f.get("web"))
	if e.Config.Hostname != "other" || e.Config.Sessions["main"].ExitStatus != 3 {
		t.Errorf("lost: %s", show(e))
	}

	f.race = func() { f.must(f.DeleteExecutor(t.Context(), "web")) }
	cfg.Hostname = "a third"
	e, created, err := f.PutExecutor(t.Context(), cfg)
	f.must(err)
	if !created || e.Binding != nil {
		t.Errorf("created %v, binding %v: the executor was deleted before", created, e.Binding)
	}

	f.race = func() { f.create(f.web("taken")) }
	_, err = f.CreateExecutor(t.Context(), f.web("taken"), nil)
	f.mustFail(err, store.ErrExists)
}

func TestExecutorsAreInOrderAtOneRevision(t *testing.T) {
	f := open(t)
	for _, id := range []string{"b", "a", "B", "a.b"} {
		f.create(&executor.ExecutorConfig{Common: executor.Common{ID: id}})
	}
	list, revision := f.executors()
	var ids []string
	for _, e := range list {
		ids = append(ids, e.Config.ID)
	}
	if revision != 4 || !slices.Equal(ids, []string{"B", "a", "a.b", "b"}) {
		t.Errorf("%q at %d", ids, revision)
	}
}

// TestVectorsAreStoredAsTheyAre: a record gives back what was stored, whatever an executor can hold.
func TestVectorsAreStoredAsTheyAre(t *testing.T) {
	f := open(t)
	files, err := filepath.Glob("../extraconfig/testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		f.must(err)
		var v struct{ Executor *executor.ExecutorConfig }
		f.must(json.Unmarshal(text, &v))
		e, err := f.CreateExecutor(t.Context(), v.Executor, nil)
		if errors.Is(err, store.ErrExists) {
			continue
		}
		f.must(err)
		f.same(e, f.get(e.Config.ID))
		f.still(func() { f.put(e.Config.ID, func(*executor.ExecutorConfig) {}) })
	}
}
