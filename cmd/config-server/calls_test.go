package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// counted is a simulator whose calls are counted where they arrive.
type counted struct {
	*site
	sim   *simulator.Simulator
	since time.Time
}

func newCounted(t *testing.T, vms int) *counted {
	t.Helper()
	sim, u := startSimulator(t, vms)
	return &counted{siteAt(t, u, vms), sim, time.Now()}
}

// reset begins to count anew.
func (c *counted) reset() {
	c.sim.ResetCalls()
	c.since = time.Now()
}

// changes expects so many reconfigures since the last count, and, all methods together, at most so many calls: waiting for updates is
// none, nor is what a test does to look itself. On a machine that is too slow for that, tasks that take long are listed by up to twenty
// calls a second.
func (c *counted) changes(what string, reconfigures, most int) {
	c.Helper()
	calls := c.sim.Calls()
	lists := 2 + int(20*time.Since(c.since).Seconds())
	c.reset()
	delete(calls, "WaitForUpdatesEx")
	total := 0
	for _, n := range calls {
		total += n
	}
	c.Logf("%s: %d calls: %v", what, total, calls)
	slow := calls["ModifyListView"] <= lists && total-calls["ModifyListView"] == reconfigures
	if calls["ReconfigVM_Task"] != reconfigures || total > most && !slow {
		c.Errorf("%s took %d reconfigures and %d calls, want %d and at most %d", what, calls["ReconfigVM_Task"], total, reconfigures, most)
	}
}

// TestBurst: while the first change of a VM is under way, a hundred more of its executor become one.
func TestBurst(t *testing.T) {
	c := newCounted(t, 1)
	s := c.start(t.TempDir())
	s.expect(201, "POST", "/v1/executors", `{"id": "web", "vm": {"driver": "vsphere", "ref": "vm1"}}`, nil)
	s.push("web")
	hold, err := c.sim.Hold("")
	if err != nil {
		t.Fatal(err)
	}
	c.reset()
	change := func(n int) {
		s.expect(200, "PUT", "/v1/executors/web", fmt.Sprintf(`{"hostname": "h%d"}`, n), nil)
	}
	change(0)
	<-hold.Reached()
	for n := range 100 {
		change(n + 1)
	}
	hold.Release()
	s.settle()
	c.changes("101 changes of one executor, the first held back", 2, 3)
	if got := c.held("vm1")["guestinfo.vice./hostname"]; got != "h100" {
		t.Errorf("the VM has %q, want the last", got)
	}
}

// settle waits until no executor is pending any more, without a call of the hypervisor.
func (s *server) settle() {
	s.Helper()
	in := func(state string) (ids []struct{ ID string }) {
		var list struct{ Items []struct{ ID string } }
		s.expect(200, "GET", "/v1/executors?limit=1&state="+state, "", &list)
		return list.Items
	}
	for len(in("pending")) > 0 {
	}
	if failed := in("failed"); len(failed) > 0 {
		s.Fatalf("failed: %v", failed)
	}
}

// TestFleet: what hundreds of executors cost.
func TestFleet(t *testing.T) {
	const vms = 500
	c, dir := newCounted(t, vms), t.TempDir()
	s := c.start(dir)
	s.expect(201, "PUT", "/v1/networks/front", `{"gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"]}`, nil)
	each := func(do func(n int) error) {
		t.Helper()
		var next atomic.Int64
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for n := int(next.Add(1)); n <= vms; n = int(next.Add(1)) {
					if err := do(n); err != nil {
						t.Error(n, err)
					}
				}
			})
		}
		clients.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	const config = `"hostname": "web", "sessions": {"main": {"cmd": {"path": "/bin/httpd"}}}, "networks": {"eth0": {"networkRef": "front"}}`
	request := func(status int, method, path, body string) error {
		a, err := s.try(method, path, body)
		if err == nil && a.status != status {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	}
	c.reset()
	each(func(n int) error {
		return request(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": "x%d", "vm": {"driver": "vsphere", "ref": "/DC0/vm/vm%d"}, %s}`, n, n, config))
	})
	s.settle()
	c.changes("to bind all", vms, 4*vms)

	each(func(n int) error { return request(200, "PUT", fmt.Sprintf("/v1/executors/x%d", n), "{"+config+"}") })
	s.expect(200, "PUT", "/v1/networks/front", `{"gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"], "annotations": {"for": "the store alone"}}`, nil)
	s.settle()
	c.changes("changes that no VM has to hear of", 0, 0)

	s.expect(200, "PUT", "/v1/networks/front", `{"gateway": "10.2.0.1/16", "nameservers": ["10.2.0.53"], "notes": "moved"}`, nil)
	s.settle()
	c.changes("a change of the network that all are on", vms, vms*11/10)
	for _, held := range c.all() { // as many reconfigures as VMs, and each VM had one: so none had two
		if held["networks|eth0/network/Common/notes"] != "moved" {
			t.Fatalf("a VM holds %v", held)
		}
	}

	s.terminate()
	c.reset()
	s = c.start(dir)
	s.settle()
	c.changes("a restart", 0, vms/5)
	s.terminate()
}
