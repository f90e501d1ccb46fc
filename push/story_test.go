package push

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/storetest"
	"github.com/vmexecutor/config-server/vm"
)

// story is a server's life in a bubble of time: a real store on disk, a reconciler, a hypervisor
// that can be told to fail. settle waits until nobody has anything left to do.
type story struct {
	*testing.T
	ctx    context.Context
	store  *store.Store
	driver *stage
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
		s := &story{T: t, ctx: t.Context(), store: st, driver: newStage()}
		s.start()
		defer func() {
			s.stop()
			storetest.Sound(t, engine)
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
	s.run()
}

func (s *story) run() {
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
