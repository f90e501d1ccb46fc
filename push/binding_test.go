package push

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

func TestAtTheFirstBindTheStoreWins(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey] = "77" })
		s.create("web", "vm1", nil)
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestUnbindingAndDeletingCleanTheVM(t *testing.T) {
	for name, leave := range map[string]func(s *story) error{
		"unbind": func(s *story) error { return s.store.Unbind(s.ctx, "web") },
		"delete": func(s *story) error { return s.store.DeleteExecutor(s.ctx, "web") },
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(s *story) {
				instance := s.driver.Add("vm1")
				s.create("web", "vm1", nil)
				s.driver.failing(func(vmfake.Op, string) error { return vm.ErrUnavailable })
				if err := leave(s); err != nil {
					t.Fatal(err)
				}
				s.settle()
				s.stop()
				s.start() // the record of it is durable
				s.driver.failing(nil)
				s.later(s.r.RetryMax * 2)
				if got := s.driver.keys(instance); len(got) != 1 || got["guestinfo.metadata"] == "" {
					t.Errorf("the VM holds %v", got)
				}
				if left, err := s.store.CleanedUnbindings(s.ctx); err != nil || len(left) != 1 || !left[0].Clean {
					t.Errorf("left while it runs: %v %v", left, err)
				}
				s.driver.Do(instance, func(v *vmfake.VM) { v.Turn(vm.PowerOff) })
				s.driver.Hint(instance)
				s.later(restAfter + time.Second)
				if left, err := s.store.CleanedUnbindings(s.ctx); err != nil || len(left) != 0 {
					t.Errorf("left when it is off: %v %v", left, err)
				}
			})
		})
	}
}

// seen is an Observer that remembers what it is told of pushes.
type seen struct {
	nobody
	deleted int
	results []Result
}

func (s *seen) Pushed(result Result, _ time.Duration, _, deleted int) {
	s.deleted, s.results = s.deleted+deleted, append(s.results, result)
}

// TestCleaningIsCounted: as any change of a VM, when it succeeds, too.
func TestCleaningIsCounted(t *testing.T) {
	tell(t, func(s *story) {
		s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		told := &seen{}
		s.r = New(Options{Store: s.store, Drivers: map[string]vm.Driver{"vsphere": s.driver}, Logger: slog.New(slog.DiscardHandler), InFlight: 1, Observer: told})
		s.run()
		keys, err := s.store.KeySet(s.executor("web"))
		if err != nil {
			t.Fatal(err)
		}
		told.results = nil
		if err := s.store.DeleteExecutor(s.ctx, "web"); err != nil {
			t.Fatal(err)
		}
		s.settle()
		if told.deleted != keys.Len() || !slices.Equal(told.results, []Result{ResultApplied}) {
			t.Errorf("%d of %d keys were deleted, in pushes that were %v", told.deleted, keys.Len(), told.results)
		}
	})
}

func TestRebindingMovesTheKeys(t *testing.T) {
	tell(t, func(s *story) {
		old, next := s.driver.Add("vm1"), s.driver.Add("vm2")
		s.create("web", "vm1", nil)
		if _, _, err := s.store.Bind(s.ctx, "web", store.Binding{Driver: "vsphere", Ref: "vm2"}); err != nil {
			t.Fatal(err)
		}
		s.settle()
		s.expect("web", StateSynced)
		s.expectKeys("web", next)
		if got := s.driver.keys(old); len(got) != 1 {
			t.Errorf("the old VM holds %v", got)
		}
		s.create("other", "vm1", nil)
		s.expect("other", StateSynced)
		s.expectKeys("other", old)
	})
}

func TestAVMOfAnotherExecutorIsRefused(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[holderKey] = "somebody" })
		s.create("web", "vm1", nil)
		st := s.expect("web", StateFailed)
		if !strings.Contains(st.LastError, "somebody") || !strings.Contains(st.LastError, "takeOver") {
			t.Errorf("reason: %s", st.LastError)
		}
		s.expectNoChange()
		if _, _, err := s.store.Bind(s.ctx, "web", store.Binding{Driver: "vsphere", Ref: "vm1", TakeOver: true}); err != nil {
			t.Fatal(err)
		}
		s.settle()
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestTwoReferencesToOneVM(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.create("second", "/vm1", nil)
		s.expect("web", StateSynced)
		if st := s.expect("second", StateFailed); !strings.Contains(st.LastError, "web") {
			t.Errorf("the reason does not name the holder: %s", st.LastError)
		}
		s.expectKeys("web", instance)
	})
}

func TestNonPersistentKeysOnlyWhileTheVMIsOn(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.driver.Do(instance, func(m *vmfake.VM) { m.Turn(vm.PowerOff) })
		s.create("web", "vm1", func(c *executor.ExecutorConfig) {
			c.Execs = map[string]*executor.SessionConfig{"e1": {Cmd: executor.Cmd{Path: "/bin/sh"}}}
		})
		if st := s.expect("web", StateSynced); st.Power != vm.PowerOff {
			t.Errorf("power %s", st.Power)
		}
		for key := range s.driver.keys(instance) {
			if strings.HasSuffix(key, "@non-persistent") {
				t.Errorf("a VM that is off got %s", key)
			}
		}
		s.driver.Do(instance, func(m *vmfake.VM) { m.Turn(vm.PowerOn) })
		s.sweep()
		s.expectKeys("web", instance)
	})
}

func TestAConflictIsLookedAtAgain(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		raced := false
		s.driver.during(func(op vmfake.Op, _ string) {
			if op == "apply" && !raced {
				raced = true
				s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[startedKey] = "true" })
			}
		})
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{"guestinfo.vice./hostname": "other"})
		if got := s.executor("web").Config.Sessions["main"].Started; got != "true" {
			t.Errorf("the report between looking and changing was lost: %q", got)
		}
	})
}

func TestAChangeWhoseAnswerWasLostIsSeenAfterwards(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.failing(func(op vmfake.Op, _ string) error {
			if op != "apply" {
				return nil
			}
			s.driver.Do(instance, func(m *vmfake.VM) { m.Keys["guestinfo.vice./hostname"] = "other" })
			return errors.New("the connection broke")
		})
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if st := s.expect("web", StateFailed); st.PushedRevision == st.DesiredRevision {
			t.Error("a revision not seen applied is said to be pushed")
		}
		s.later(time.Minute)
		s.expect("web", StateSynced)
	})
}

func TestANetworkReachesEveryExecutorOnIt(t *testing.T) {
	tell(t, func(s *story) {
		a, b := s.driver.Add("vm1"), s.driver.Add("vm2")
		front := store.Network{Config: &executor.ContainerNetwork{Common: executor.Common{Name: "front"}, Type: "bridge"}}
		if _, err := s.store.CreateNetwork(s.ctx, front); err != nil {
			t.Fatal(err)
		}
		join := func(c *executor.ExecutorConfig) {
			c.Networks = map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "front"}}
		}
		s.create("web", "vm1", join)
		s.create("db", "vm2", join)
		s.driver.changes()
		front.Config = front.Config.Clone()
		front.Config.Type = "external"
		if _, _, err := s.store.PutNetwork(s.ctx, front); err != nil {
			t.Fatal(err)
		}
		s.settle()
		s.expectKeys("web", a)
		s.expectKeys("db", b)
		if got := s.driver.changes(); len(got) != 2 {
			t.Errorf("%d changes, want one for each VM", len(got))
		}
		// What follows the network is not the guest's to report.
		s.driver.Do(a, func(m *vmfake.VM) { m.Keys["guestinfo.vice..networks|eth0.network.type"] = "mine" })
		s.sweep()
		s.expectKeys("web", a)
	})
}

func TestPushWaitsForTheOutcome(t *testing.T) {
	tell(t, func(s *story) {
		s.create("loose", "", nil)
		if _, err := s.r.Push(s.ctx, "loose"); !errors.Is(err, store.ErrUnbound) {
			t.Errorf("got %v", err)
		}
		if _, err := s.r.Push(s.ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if st := s.expect("loose", StateUnbound); st.DesiredRevision == 0 {
			t.Errorf("status %+v", st)
		}
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys["guestinfo.vice./hostname"] = "forged" })
		st, err := s.r.Push(s.ctx, "web")
		if err != nil || st.State != StateSynced {
			t.Errorf("%+v %v", st, err)
		}
		s.expectKeys("web", instance)
	})
}

func TestPlanIsWhatPushThenDoes(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.Do(instance, func(m *vmfake.VM) {
			m.Keys["guestinfo.vice./hostname"] = "forged"
			m.Keys["guestinfo.vice./sessions|ghost/tty"] = "true"
			m.Keys[statusKey] = "5" // a report, so no difference
		})
		revision, err := s.store.Revision(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.r.Plan(s.ctx, "web")
		if err != nil {
			t.Fatal(err)
		}
		s.expectNoChange()
		if now, err := s.store.Revision(s.ctx); err != nil || now != revision {
			t.Errorf("a dry run committed revision %d (%v)", now, err)
		}
		set := map[string]string{}
		for _, pair := range p.Set {
			set[pair.Key] = pair.Value
		}
		if p.Calls != 1 || p.Unchanged == 0 || p.Bytes == 0 || !reflect.DeepEqual(set, map[string]string{"guestinfo.vice./hostname": "web"}) {
			t.Errorf("plan %+v", p)
		}
		if _, err := s.r.Push(s.ctx, "web"); err != nil {
			t.Fatal(err)
		}
		s.expectChange(set, p.Delete...)
		var failure *VMError
		s.create("lost", "nowhere", nil)
		if _, err := s.r.Plan(s.ctx, "lost"); !errors.As(err, &failure) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAChangeThatWasBegunIsSeenThroughWhenTheServerStops(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		begun, finish := make(chan struct{}), make(chan struct{})
		s.driver.during(func(op vmfake.Op, _ string) {
			if op == "apply" {
				close(begun)
				<-finish
			}
		})
		c := s.executor("web").Config.Clone()
		c.Hostname = "other"
		if _, _, err := s.store.PutExecutor(s.ctx, c); err != nil {
			t.Fatal(err)
		}
		<-begun
		stopped := make(chan struct{})
		stop := s.stop
		go func() { defer close(stopped); stop() }()
		s.settle()
		select {
		case <-stopped:
			t.Error("stopped in the middle of a change")
		default:
		}
		close(finish)
		<-stopped
		if got := s.driver.get(instance, "guestinfo.vice./hostname"); got != "other" {
			t.Errorf("the VM has %q", got)
		}
		s.stop = func() {}
	})
}
