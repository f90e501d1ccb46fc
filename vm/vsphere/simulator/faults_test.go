package simulator_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

func TestTaskFaults(t *testing.T) {
	c := start(t, simulator.Options{VMs: 2})
	one, two := c.vm("vm1"), c.vm("vm2")
	c.must(c.sim.FailReconfigures(c.instance(one), 2, new(types.TaskInProgress)))
	for range 2 {
		if err := c.reconfigure(one, "", "a/b", "1"); !fault.Is(err, &types.TaskInProgress{}) {
			t.Errorf("got %v, want TaskInProgress", err)
		}
	}
	c.wantAbsent(one, "a/b")
	c.set(two, "a/b", "1")
	c.set(one, "a/b", "1")

	c.must(c.sim.FailReconfigures("", 1, new(types.InvalidPowerState)))
	if err := c.reconfigure(two, "", "a/b", "2"); !fault.Is(err, &types.InvalidPowerState{}) {
		t.Errorf("got %v, want InvalidPowerState", err)
	}
	c.set(two, "a/b", "2")
	if c.sim.FailReconfigures("no such instance", 1, new(types.TaskInProgress)) == nil {
		t.Error("a fault for no VM")
	}
}

func TestLostAnswers(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.must(c.sim.LoseAnswers(c.instance(v), 1))
	err := c.reconfigure(v, "", "a/b", "1")
	if err == nil || soap.IsSoapFault(err) {
		t.Errorf("got %v, want no answer", err)
	}
	c.want(v, "a/b", "1")
	c.set(v, "a/b", "2")

	c.sim.CutCalls("ReconfigVM_Task", 1)
	if err := c.reconfigure(v, "", "a/b", "3"); err == nil || soap.IsSoapFault(err) {
		t.Errorf("got %v, want no answer", err)
	}
	c.want(v, "a/b", "2")

	c.sim.FailCalls("ReconfigVM_Task", 1, new(types.RuntimeFault))
	if err := c.reconfigure(v, "", "a/b", "3"); !soap.IsSoapFault(err) {
		t.Errorf("got %v, want a fault", err)
	}
	c.want(v, "a/b", "2")
}

func TestHold(t *testing.T) {
	c := start(t, simulator.Options{VMs: 2})
	v := c.vm("vm1")
	hold, err := c.sim.Hold(c.instance(v))
	c.must(err)
	done := make(chan error, 1)
	go func() { done <- c.reconfigure(v, "", "a/b", "1") }()
	<-hold.Reached()
	c.wantAbsent(v, "a/b") // and the VM can be read meanwhile
	c.must(c.sim.PowerOff(c.instance(v)))
	c.set(c.vm("vm2"), "a/b", "1")
	hold.Release()
	c.must(<-done)
	c.want(v, "a/b", "1")
	c.set(v, "a/b", "2")
}

func TestLatency(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	const slow = 100 * time.Millisecond
	took := func() time.Duration {
		begun := time.Now()
		c.set(v, "a/b", "1")
		return time.Since(begun)
	}
	c.sim.SetLatency(simulator.Latency{Task: slow, TaskMax: 2 * slow})
	if d := took(); d < slow {
		t.Errorf("a slow task took %v", d)
	}
	c.sim.SetLatency(simulator.Latency{Call: slow})
	if d := took(); d < 2*slow {
		t.Errorf("slow calls took %v", d)
	}
	c.sim.SetLatency(simulator.Latency{})
}

func TestCalls(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "config.changeVersion"), false)
	w.next(0)
	c.sim.ResetCalls()
	for i := range 3 {
		_, err := methods.ReconfigVM_Task(t.Context(), c.Client, &types.ReconfigVM_Task{This: v.Reference(), Spec: types.VirtualMachineConfigSpec{
			ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/b", Value: fmt.Sprint(i)}},
		}})
		c.must(err)
	}
	w.next(5)
	calls := c.sim.Calls()
	if calls["ReconfigVM_Task"] != 3 || calls["WaitForUpdatesEx"] != 1 || len(calls) != 2 {
		t.Errorf("counted %v", calls)
	}
}

func TestInterruption(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.set(v, "a/b", "1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "name"), false)
	w.next(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.ask(w.version, 600); err == nil || soap.IsSoapFault(err) {
			t.Errorf("a wait ends with %v, want no answer", err)
		}
	})
	c.must(c.sim.Interrupt())
	wg.Wait()
	if err := c.reconfigure(v, "", "a/b", "2"); err == nil || soap.IsSoapFault(err) {
		t.Errorf("got %v, want no answer", err)
	}
	c.must(c.sim.Interrupt()) // again is harmless
	c.must(c.sim.Resume(t.Context()))
	c.want(v, "a/b", "1") // the session goes on, too
	c.set(v, "a/b", "3")
}

// TestCloseWithWorkUnderWay: nothing keeps a simulator from stopping.
func TestCloseWithWorkUnderWay(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	hold, err := c.sim.Hold("")
	c.must(err)
	c.sim.SetLatency(simulator.Latency{Task: time.Hour})
	_, err = v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/b", Value: "1"}}})
	c.must(err)
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "name"), false)
	w.next(0)
	go func() { _, _ = w.ask(w.version, 600) }()
	c.must(c.sim.Close(t.Context()))
	hold.Release()
}
