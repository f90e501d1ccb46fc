package push

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

func TestClientsComeFirstAndNobodyStarves(t *testing.T) {
	q := newQueue()
	for i := range 100 {
		q.add(task{executor: fmt.Sprint("repair", i)}, fromRepair)
	}
	for i := range 40 {
		q.add(task{executor: fmt.Sprint("client", i)}, fromClient)
	}
	q.add(task{executor: "repair99"}, fromClient) // moves up
	clients, first := 0, 0
	for i := range 48 {
		j, _ := q.next()
		if j.class == fromClient {
			clients++
		}
		if j.executor == "repair0" {
			first = i
		}
		q.done(j.task, 0, false)
	}
	if clients != 41 || first == 0 || first > 8 {
		t.Errorf("%d of the first 48 were clients', the first repair came at %d", clients, first)
	}
	if n, oldest := q.depth(); n != 92 || oldest.IsZero() {
		t.Errorf("%d are left", n)
	}
}

// TestABurstIsOneFurtherChange: while a change is under way, a hundred more lead to one.
func TestABurstIsOneFurtherChange(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		begun, finish := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		s.driver.during(func(op vmfake.Op, _ string) {
			if op == "apply" && first.CompareAndSwap(false, true) {
				close(begun)
				<-finish
			}
		})
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "first" })
		<-begun
		for i := range 100 {
			s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = fmt.Sprint("h", i) })
			if st := s.status("web"); st.State == StateSynced {
				t.Fatal("synced with a change that nobody saw applied")
			}
		}
		if n := s.r.QueueDepth(); n > 1 {
			t.Errorf("%d wait", n)
		}
		close(finish)
		s.settle()
		s.expect("web", StateSynced)
		if got := s.driver.changes(); len(got) != 2 {
			t.Errorf("%d changes, want two", len(got))
		}
		if got := s.driver.get(instance, "guestinfo.vice./hostname"); got != "h99" {
			t.Errorf("the VM has %s", got)
		}
	})
}

// TestOwnChangesAreNotLookedAtTwice: the hint of what we did costs one look, and no change.
func TestOwnChangesAreNotLookedAtTwice(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.during(func(op vmfake.Op, instance string) {
			if op == "apply" {
				s.driver.Hint(instance)
			}
		})
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		looked := s.driver.looks()
		s.driver.Hint(instance)
		s.settle()
		if s.driver.looks() != looked+1 || len(s.driver.changes()) != 1 {
			t.Errorf("looked %d times for a hint", s.driver.looks()-looked)
		}
	})
}

func TestAnOutageIsNotHammered(t *testing.T) {
	tell(t, func(s *story) {
		for i := range 100 {
			s.driver.Add(fmt.Sprint("vm", i))
			s.create(fmt.Sprint("e", i), fmt.Sprint("vm", i), nil)
		}
		var calls atomic.Int64
		s.driver.failing(func(vmfake.Op, string) error { calls.Add(1); return vm.ErrUnavailable })
		s.later(s.r.Resync + time.Hour)
		if n := calls.Load(); n > 400 {
			t.Errorf("%d calls in an hour of outage", n)
		}
		s.driver.changes()
		s.driver.failing(nil)
		s.later(3 * s.r.RetryMax)
		for i := range 100 {
			s.expect(fmt.Sprint("e", i), StateSynced)
		}
		s.expectNoChange()
	})
}

func TestChangesKeepToARate(t *testing.T) {
	tell(t, func(s *story) {
		s.stop()
		s.r = New(Options{Store: s.store, Drivers: map[string]vm.Driver{"vsphere": s.driver}, Logger: s.r.Logger, Rate: 2})
		s.run()
		for i := range 20 {
			s.driver.Add(fmt.Sprint("vm", i))
			s.create(fmt.Sprint("e", i), fmt.Sprint("vm", i), nil)
		}
		s.later(5 * time.Second)
		if n := len(s.driver.changes()); n < 9 || n > 12 {
			t.Errorf("%d changes in five seconds", n)
		}
		s.later(10 * time.Second)
		for i := range 20 {
			s.expect(fmt.Sprint("e", i), StateSynced)
		}
	})
}

func TestExplain(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey], m.Keys["guestinfo.vice./sessions|main/tty"] = "5", "true" })
		x, err := s.r.Explain(s.ctx, "web")
		if err != nil {
			t.Fatal(err)
		}
		why := map[string]Why{}
		for _, row := range x.Rows {
			if row.Why != "" {
				why[row.pair().Key] = row.Why
			}
		}
		if len(why) != 2 || why[statusKey] != WhyReport || why["guestinfo.vice./sessions|main/tty"] != WhyDrift || x.Power != vm.PowerOn {
			t.Errorf("%v", why)
		}
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if x, err = s.r.Explain(s.ctx, "web"); err != nil {
			t.Fatal(err)
		}
		for _, row := range x.Rows {
			if row.pair().Key == "guestinfo.vice./hostname" && (row.Why != WhyPending || row.Observed.Value != "web" || row.Desired.Value != "other") {
				t.Errorf("%+v", row)
			}
		}
		s.stop = func() {}
	})
}
