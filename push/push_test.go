package push

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/vm"
)

// story is a server's life in a bubble of time: a real store on disk, a reconciler, a hypervisor
// that can be told to fail. settle waits until nobody has anything left to do.
type story struct {
	*testing.T
	ctx    context.Context
	store  *store.Store
	driver *fakeDriver
	r      *Reconciler
	stop   func()
}

// tell runs a story.
func tell(t *testing.T, f func(s *story)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		engine, err := bolt.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.New(engine, store.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s := &story{T: t, ctx: t.Context(), store: st, driver: newFakeDriver()}
		s.start()
		defer func() {
			s.stop()
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(s)
	})
}

// start runs a new reconciler, as a restart of the server would.
func (s *story) start() {
	s.r = New(Options{Store: s.store, Drivers: map[string]vm.Driver{"vsphere": s.driver}, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.r.Run(ctx); err != nil {
			s.Error(err)
		}
	}()
	s.stop = func() { cancel(); <-ended }
	s.settle()
}

func (s *story) settle() { s.Helper(); synctest.Wait() }

// later lets time pass, and whatever was planned for it happen.
func (s *story) later(d time.Duration) { s.Helper(); <-time.After(d); synctest.Wait() }

// sweep waits until every VM was looked at again.
func (s *story) sweep() { s.Helper(); s.later(s.r.Resync + time.Second) }

func (s *story) create(id, vmName string, change func(*executor.ExecutorConfig)) {
	s.Helper()
	c := &executor.ExecutorConfig{
		Common:   executor.Common{ID: id, Name: id, Notes: "hidden notes"},
		Hostname: id,
		Sessions: map[string]*executor.SessionConfig{"main": {Cmd: executor.Cmd{Path: "/bin/main", Args: []string{"main", "-v"}}}},
	}
	if change != nil {
		change(c)
	}
	var b *store.Binding
	if vmName != "" {
		b = &store.Binding{Driver: "vsphere", Ref: vmName}
	}
	if _, err := s.store.CreateExecutor(s.ctx, c, b); err != nil {
		s.Fatal(err)
	}
	s.settle()
}

func (s *story) executor(id string) *store.Executor {
	s.Helper()
	e, err := s.store.Executor(s.ctx, id)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

func (s *story) put(id string, change func(*executor.ExecutorConfig)) {
	s.Helper()
	c := s.executor(id).Config.Clone()
	change(c)
	if _, _, err := s.store.PutExecutor(s.ctx, c); err != nil {
		s.Fatal(err)
	}
	s.settle()
}

func (s *story) status(id string) Status {
	s.Helper()
	st, err := s.r.Status(s.ctx, id)
	if err != nil {
		s.Fatal(err)
	}
	return st
}

func (s *story) expect(id string, want State) Status {
	s.Helper()
	st := s.status(id)
	if st.State != want {
		s.Fatalf("%s is %s (%s), want %s", id, st.State, st.LastError, want)
	}
	if want == StateSynced && (st.PushedRevision != st.DesiredRevision || st.Attempts != 0 || !st.NextRetry.IsZero()) {
		s.Fatalf("synced, and yet %+v", st)
	}
	return st
}

// expectKeys holds the VM against the store: our keys are exactly what the executor encodes to, the other tool's key is there.
func (s *story) expectKeys(id, instance string) {
	s.Helper()
	keys, err := s.store.KeySet(s.executor(id))
	if err != nil {
		s.Fatal(err)
	}
	want := map[string]string{"guestinfo.metadata": "another tool's"}
	for p := range keys.All() {
		want[p.Key] = p.Value
	}
	if got := s.driver.keys(instance); !maps.Equal(got, want) {
		s.Fatalf("the VM holds\n%v\nwant\n%v", got, want)
	}
}

func (s *story) expectChange(set map[string]string, deleted ...string) {
	s.Helper()
	got := s.driver.changes()
	if len(got) != 1 || !maps.Equal(got[0].set, set) || !slices.Equal(got[0].deleted, deleted) {
		s.Fatalf("changes were %v, want one of %v and %v", got, set, deleted)
	}
}

func (s *story) expectNoChange() {
	s.Helper()
	if got := s.driver.changes(); len(got) != 0 {
		s.Fatalf("changes were %v, want none", got)
	}
}

func TestDeliversAndSendsOnlyWhatChanged(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		st := s.expect("web", StateSynced)
		if st.LastPush == nil || st.LastPush.KeysSet == 0 || st.Power != vm.PowerOn || st.ObservedAt.IsZero() {
			t.Errorf("status %+v", st)
		}
		s.expectKeys("web", instance)
		if got := s.driver.changes(); len(got) != 1 {
			t.Fatalf("%d changes, want one", len(got))
		}

		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{"guestinfo.vice./hostname": "other"})

		s.put("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].Cmd.Args = nil })
		s.expectChange(map[string]string{}, "guestinfo.vice./sessions|main/cmd/Args", "guestinfo.vice./sessions|main/cmd/Args~")
		s.expectKeys("web", instance)

		s.put("web", func(*executor.ExecutorConfig) {})
		s.sweep()
		s.expectNoChange()
	})
}

func TestARestartWithACleanVMChangesNothing(t *testing.T) {
	tell(t, func(s *story) {
		s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.stop()
		s.start()
		s.expect("web", StateSynced)
		s.expectNoChange()
	})
}

func TestChangesMadeWhileNobodyPushedArriveAfterARestart(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if st := s.status("web"); st.State != StatePending {
			t.Errorf("%s, want pending: nobody pushed", st.State)
		}
		s.start()
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestAMissingVMFailsAndHeals(t *testing.T) {
	tell(t, func(s *story) {
		s.create("web", "vm1", nil)
		st := s.expect("web", StateFailed)
		if !strings.Contains(st.LastError, `VM "vm1" does not exist`) || st.Attempts == 0 || st.NextRetry.IsZero() || st.PushedRevision != 0 {
			t.Errorf("status %+v", st)
		}
		s.driver.add("vm2")
		s.create("other", "vm2", nil)
		s.expect("other", StateSynced) // one that is broken delays no other

		instance := s.driver.add("vm1")
		s.later(s.r.RetryMax * 2)
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestRetriesBackOff(t *testing.T) {
	tell(t, func(s *story) {
		s.create("web", "vm1", nil)
		s.later(time.Hour)
		// Doubling from 500 ms to 30 s, then every 30 s, each give or take a fifth.
		if n := s.status("web").Attempts; n < 95 || n > 160 {
			t.Errorf("%d attempts in an hour", n)
		}
	})
}

func TestDriftIsPutBack(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.guest(instance, func(m *fakeVM) {
			m.keys["guestinfo.vice./hostname"] = "forged"
			m.keys["guestinfo.vice./sessions|ghost/cmd/Path"] = "/bin/ghost"
			delete(m.keys, "common/notes")
		})
		s.sweep()
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{"guestinfo.vice./hostname": "web", "common/notes": "hidden notes"}, "guestinfo.vice./sessions|ghost/cmd/Path")
	})
}

const (
	statusKey  = "guestinfo.vice..sessions|main.status"
	startedKey = "guestinfo.vice..sessions|main.started"
)

func TestAReportComesBack(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		config := s.executor("web").ConfigRevision
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey], m.keys[startedKey] = "137", "true" })
		s.sweep()
		e := s.executor("web")
		if m := e.Config.Sessions["main"]; m.ExitStatus != 137 || m.Started != "true" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		if e.ConfigRevision != config || e.Revision <= config {
			t.Errorf("a report moved the configuration revision from %d to %d (revision %d)", config, e.ConfigRevision, e.Revision)
		}
		s.expect("web", StateSynced)
		s.expectNoChange()

		// The client's own change of such a field is pushed, and is the base for the next report.
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if got := s.driver.get(instance, statusKey); got != "137" {
			t.Errorf("a PUT took back the report: %s", got)
		}
	})
}

func TestAReportMadeWhileTheServerWasDownIsKept(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey] = "3" })
		s.start()
		if got := s.executor("web").Config.Sessions["main"].ExitStatus; got != 3 {
			t.Errorf("the store has %d", got)
		}
	})
}

func TestAReportThatDoesNotParseIsDriftOfThatFieldAlone(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey], m.keys[startedKey] = "many", "true" })
		s.sweep()
		if m := s.executor("web").Config.Sessions["main"]; m.ExitStatus != 0 || m.Started != "true" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{statusKey: "0"})
	})
}

func TestAReportThatCannotBeStoredIsDriftOfThatFieldAlone(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey], m.keys[startedKey] = "4", "\x01" })
		s.sweep()
		if m := s.executor("web").Config.Sessions["main"]; m.ExitStatus != 4 || m.Started != "" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		s.expectChange(map[string]string{startedKey: ""})
	})
}

func TestAbsenceIsNoReport(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 9 })
		s.driver.changes()
		s.driver.guest(instance, func(m *fakeVM) { delete(m.keys, statusKey) })
		s.sweep()
		s.expectChange(map[string]string{statusKey: "9"})
	})
}

func TestAClientsChangeWinsOverAReportOfTheSameField(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 1 })
		e := s.executor("web")
		s.stop()
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey] = "2" })
		_, err := s.store.Report(s.ctx, "web", e.Binding.Instance, e.Binding.Base, func(c *executor.ExecutorConfig) ([]string, error) {
			c.Sessions["main"].ExitStatus = 5 // as a client's PATCH of that field does: the base stays
			return []string{"sessions.main.exitStatus"}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.start()
		s.expect("web", StateSynced)
		if got := s.driver.get(instance, statusKey); got != "5" {
			t.Errorf("the VM has %s, want the client's 5", got)
		}
	})
}

func TestAtTheFirstBindTheStoreWins(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.driver.guest(instance, func(m *fakeVM) { m.keys[statusKey] = "77" })
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
				instance := s.driver.add("vm1")
				s.create("web", "vm1", nil)
				s.driver.setFail(func(string, string) error { return vm.ErrUnavailable })
				if err := leave(s); err != nil {
					t.Fatal(err)
				}
				s.settle()
				s.stop()
				s.start() // the record of it is durable
				s.driver.setFail(nil)
				s.later(s.r.RetryMax * 2)
				if got := s.driver.keys(instance); len(got) != 1 || got["guestinfo.metadata"] == "" {
					t.Errorf("the VM holds %v", got)
				}
				if left, err := s.store.Unbindings(s.ctx); err != nil || len(left) != 0 {
					t.Errorf("left: %v %v", left, err)
				}
			})
		})
	}
}

func TestRebindingMovesTheKeys(t *testing.T) {
	tell(t, func(s *story) {
		old, next := s.driver.add("vm1"), s.driver.add("vm2")
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
		instance := s.driver.add("vm1")
		s.driver.guest(instance, func(m *fakeVM) { m.keys[holderKey] = "somebody" })
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
		instance := s.driver.add("vm1")
		s.driver.mu.Lock()
		s.driver.names["alias"] = instance
		s.driver.mu.Unlock()
		s.create("web", "vm1", nil)
		s.create("second", "alias", nil)
		s.expect("web", StateSynced)
		if st := s.expect("second", StateFailed); !strings.Contains(st.LastError, "web") {
			t.Errorf("the reason does not name the holder: %s", st.LastError)
		}
		s.expectKeys("web", instance)
	})
}

func TestNonPersistentKeysOnlyWhileTheVMIsOn(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.driver.guest(instance, func(m *fakeVM) { m.power = vm.PowerOff })
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
		s.driver.guest(instance, func(m *fakeVM) { m.power = vm.PowerOn })
		s.sweep()
		s.expectKeys("web", instance)
	})
}

func TestAConflictIsLookedAtAgain(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		raced := false
		s.driver.setDuring(func(op, _ string) {
			if op == "apply" && !raced {
				raced = true
				s.driver.guest(instance, func(m *fakeVM) { m.keys[startedKey] = "true" })
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
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.setFail(func(op, _ string) error {
			if op != "apply" {
				return nil
			}
			s.driver.guest(instance, func(m *fakeVM) { m.keys["guestinfo.vice./hostname"] = "other" })
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
		a, b := s.driver.add("vm1"), s.driver.add("vm2")
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
		s.driver.guest(a, func(m *fakeVM) { m.keys["guestinfo.vice..networks|eth0.network.type"] = "mine" })
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
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.guest(instance, func(m *fakeVM) { m.keys["guestinfo.vice./hostname"] = "forged" })
		st, err := s.r.Push(s.ctx, "web")
		if err != nil || st.State != StateSynced {
			t.Errorf("%+v %v", st, err)
		}
		s.expectKeys("web", instance)
	})
}

func TestPlanIsWhatPushThenDoes(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.guest(instance, func(m *fakeVM) {
			m.keys["guestinfo.vice./hostname"] = "forged"
			m.keys["guestinfo.vice./sessions|ghost/tty"] = "true"
			m.keys[statusKey] = "5" // a report, so no difference
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
		instance := s.driver.add("vm1")
		s.create("web", "vm1", nil)
		begun, finish := make(chan struct{}), make(chan struct{})
		s.driver.setDuring(func(op, _ string) {
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
