package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/vm"
)

// Channel is a way into VMs, with everything that delivers through it above and a guest at its other end.
type Channel struct {
	// Name is the driver's, as bindings have it.
	Name   string
	Driver vm.Driver
	// NewVM gives a reference to a VM that no other test has.
	NewVM func(t *testing.T) (ref string)
	// Guest plays what runs in the VM, which is switched on, of an executor that is delivered there.
	Guest func(t *testing.T, executor, ref string) Guest
}

// Guest is a guest, as far as its channel lets it see and do something. Values are plain text.
type Guest interface {
	// Read gives all that it can see, other tools' keys too.
	Read(t *testing.T) map[string]string
	// Config is the executor as the guest makes it out, with the key that it was given to open secrets.
	Config(t *testing.T) *executor.ExecutorConfig
	// Write writes keys, and answers what the guest is told: an error when it may not.
	Write(t *testing.T, keys map[string]string) error
	// Delete removes a key, likewise.
	Delete(t *testing.T, key string) error
	// Reboot ends the boot and begins another.
	Reboot(t *testing.T)
}

// stage is a store, a reconciler at work, and one executor that was delivered through a channel.
type stage struct {
	channel Channel
	store   *store.Store
	push    *push.Reconciler
}

func newStage(t *testing.T, c Channel) *stage {
	t.Helper()
	engine, err := bolt.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(engine, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{channel: c, store: st}
	s.push = push.New(push.Options{Store: st, Drivers: map[string]vm.Driver{c.Name: c.Driver}, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.push.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	network := &executor.ContainerNetwork{Common: executor.Common{Name: "front"}, Type: "bridge"}
	if _, err := st.CreateNetwork(t.Context(), store.Network{Config: network}); err != nil {
		t.Fatal(err)
	}
	return s
}

// document has something of every scope.
//
//nolint:gosec // the credentials are nobody's
const document = `{"id": %q, "name": "web", "notes": "hidden notes", "hostname": "web-1", "annotations": {"team": "hidden team"},
	"sessions": {"main": {"cmd": {"path": "/bin/main", "args": ["main", "-v"]}, "notes": "hidden session notes"}, "side": {}},
	"execs": {"job": {"cmd": {"path": "/bin/job"}}},
	"mounts": {"data": {"source": "nfs://user:password@nas/export", "path": "/data"}},
	"networks": {"eth0": {"networkRef": "front"}, "eth1": {"network": {"name": "back", "type": "external", "aliases": ["hidden:alias"]}}}}`

// scene is one executor on the stage, and its guest.
type scene struct {
	*stage
	t     *testing.T
	id    string
	guest Guest
}

// begin delivers an executor to a fresh VM.
func (s *stage) begin(t *testing.T, id string) *scene {
	t.Helper()
	var config executor.ExecutorConfig
	if err := json.Unmarshal(fmt.Appendf(nil, document, id), &config); err != nil {
		t.Fatal(err)
	}
	ref := s.channel.NewVM(t)
	if _, err := s.store.CreateExecutor(t.Context(), &config, &store.Binding{Driver: s.channel.Name, Ref: ref}); err != nil {
		t.Fatal(err)
	}
	sc := &scene{stage: s, t: t, id: id}
	sc.pushed()
	sc.guest = s.channel.Guest(t, id, ref)
	sc.pushed()
	return sc
}

// pushed waits until what was done until now has come to where it belongs.
func (s *scene) pushed() {
	s.t.Helper()
	status, err := s.push.Push(s.t.Context(), s.id)
	if err != nil || status.LastError != "" {
		s.t.Fatalf("push: %v %+v", err, status)
	}
}

func (s *scene) config() *executor.ExecutorConfig {
	s.t.Helper()
	e, err := s.store.Executor(s.t.Context(), s.id)
	if err != nil {
		s.t.Fatal(err)
	}
	return e.Config
}

// change is a client's.
func (s *scene) change(f func(*executor.ExecutorConfig)) {
	s.t.Helper()
	change := func(c *executor.ExecutorConfig) error { f(c); return nil }
	if _, err := s.store.UpdateExecutor(s.t.Context(), s.id, change); err != nil {
		s.t.Fatal(err)
	}
	s.pushed()
}

// sees gives those of our keys that the guest can see.
func (s *scene) sees() map[string]string {
	s.t.Helper()
	keys := s.guest.Read(s.t)
	maps.DeleteFunc(keys, func(key, _ string) bool { return !s.store.Codec().Owns(key) })
	return keys
}

// should gives those that it should see.
func (s *scene) should() map[string]string {
	s.t.Helper()
	e, err := s.store.Executor(s.t.Context(), s.id)
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := s.store.KeySet(e)
	if err != nil {
		s.t.Fatal(err)
	}
	want := map[string]string{}
	for p := range keys.All() {
		if p.Scope().GuestVisible() && !(p.NonPersistent() && e.Config.Execs["job"].Detail.StopTime != 0) {
			want[p.Key] = p.Value
		}
	}
	return want
}

// inOrder waits until the guest sees what it should, exactly.
func (s *scene) inOrder() {
	s.t.Helper()
	s.pushed()
	eventually(s.t, "what the guest should see", func() bool { return maps.Equal(s.sees(), s.should()) })
}

// writes has the guest write, and tells what becomes of it: whether it is told that it may not, and whether the executor took it.
func (s *scene) writes(write func() error) string {
	s.t.Helper()
	before, saw := s.config(), s.sees()
	told := write()
	s.inOrder() // after this push everything that the guest wrote was looked at
	outcome := "is taken into the executor"
	if reflect.DeepEqual(s.config(), before) {
		outcome = "changes nothing"
		if !maps.Equal(s.sees(), saw) {
			s.t.Error("the executor is as it was, and the guest sees something else")
		}
	}
	if told != nil {
		outcome += "; refused"
	}
	return outcome
}
