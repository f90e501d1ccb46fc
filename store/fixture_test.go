package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/memory"
	"github.com/vmexecutor/config-server/store/seal"
	"github.com/vmexecutor/config-server/store/storetest"
)

// fixture is a store on disk. At the end of a test it checks what must always hold, and that a store
// which is opened again has everything that this one had.
type fixture struct {
	*testing.T
	*store.Store
	engine   store.Engine
	reopened func(store.Engine) store.Engine // what a restart makes of an engine; nil is one on disk
	dir      string
	options  store.Options
	seals    *seal.Keys // that a restart does not change
	secrets  []string   // that no event may contain
	tampered bool       // something was written behind the store's back
	race     func()     // run once, before the next commit: somebody else is quicker
	history  []bolt.Option
	views    atomic.Int64
	watches  chan int // how many there are of the engine, at each change; nil for nobody who asks
}

func open(t *testing.T) *fixture {
	t.Helper()
	return openWith(t)
}

func openWith(t *testing.T, history ...bolt.Option) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: t.TempDir(), history: history}
	f.begin()
	t.Cleanup(f.end)
	return f
}

// openInMemory is a store on the other engine.
func openInMemory(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, reopened: func(e store.Engine) store.Engine {
		if e == nil {
			return memory.New(store.DefaultHistory)
		}
		return e.(*racing).Engine.(*memory.Engine).Reopen()
	}}
	f.begin()
	t.Cleanup(f.end)
	return f
}

// engines are those that a test runs on which is about what they may do differently.
var engines = map[string]func(*testing.T) *fixture{"bolt": open, "memory": openInMemory}

func (f *fixture) begin() {
	f.Helper()
	var engine store.Engine
	var err error
	if f.reopened != nil {
		engine = f.reopened(f.engine)
	} else {
		engine, err = bolt.Open(f.dir, f.history...)
		f.must(err)
	}
	if f.seals == nil {
		f.seals = seal.NewKeys()
	}
	f.options.Keys = f.seals
	f.engine = &racing{engine, f}
	f.Store, err = store.New(f.engine, f.options)
	f.must(err)
}

// reopen is a restart of the server.
func (f *fixture) reopen() {
	f.Helper()
	f.must(f.engine.Close())
	f.begin()
}

func (f *fixture) end() {
	before := f.content()
	f.checkFeed()
	f.checkKeys()
	if !f.tampered {
		storetest.Sound(f, f.engine.(*racing).Engine)
	}
	f.reopen()
	if after := f.content(); !reflect.DeepEqual(before, after) {
		f.Errorf("after opening it again the store holds\n%+v\nand held\n%+v", after, before)
	}
	f.must(f.engine.Close())
}

// racing is an engine to which somebody else can write between a view and the commit that is based on it.
type racing struct {
	store.Engine
	f *fixture
}

func (e *racing) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if race := e.f.race; race != nil {
		e.f.race = nil
		race()
	}
	return e.Engine.Commit(ctx, t)
}

// Rewrite implements store.Rewriter, as the engine does.
func (e *racing) Rewrite(ctx context.Context, stale func(string, []byte) bool, fresh func(string, []byte) ([]byte, error)) (int, error) {
	return e.Engine.(store.Rewriter).Rewrite(ctx, stale, fresh)
}

func (e *racing) View(ctx context.Context, fn func(store.Snapshot) error) error {
	e.f.views.Add(1)
	return e.Engine.View(ctx, fn)
}

func (e *racing) Watch(ctx context.Context, after uint64) iter.Seq2[store.Change, error] {
	if e.f.watches == nil {
		return e.Engine.Watch(ctx, after)
	}
	return func(yield func(store.Change, error) bool) {
		e.f.watches <- 1
		defer func() { e.f.watches <- -1 }()
		e.Engine.Watch(ctx, after)(yield)
	}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) mustFail(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("the error is %v, want %v", err, want)
	}
}

func (f *fixture) confirm(id, instance string, base map[string]string) {
	f.Helper()
	_, err := f.Confirm(f.Context(), id, instance, base, store.Sighting{})
	f.must(err)
}

func (f *fixture) notConfirmed(id, instance string, base map[string]string, want error) {
	f.Helper()
	_, err := f.Confirm(f.Context(), id, instance, base, store.Sighting{})
	f.mustFail(err, want)
}

// executors are all, and the revision at which they stand so.
func (f *fixture) executors() (list []*store.Executor, revision uint64) {
	f.Helper()
	revision, err := f.Executors(context.Background(), func(e *store.Executor) { list = append(list, e) })
	f.must(err)
	return list, revision
}

// content is all that the store holds.
func (f *fixture) content() []any {
	f.Helper()
	ctx := context.Background()
	executors, revision := f.executors()
	networks, _, err := f.Networks(ctx)
	f.must(err)
	unbindings, err := f.Unbindings(ctx)
	f.must(err)
	for _, e := range executors {
		if e.Revision > revision || e.ConfigRevision > e.Revision || e.ConfigRevision == 0 {
			f.Errorf("executor %s is at %d-%d, the store at %d", e.Config.ID, e.ConfigRevision, e.Revision, revision)
		}
		if err := e.Config.Validate(); err != nil {
			f.Errorf("executor %s is not valid: %v", e.Config.ID, err)
		}
		keys, err := f.KeySet(e)
		if err != nil || keys.Size() > store.MaxKeySet {
			f.Errorf("executor %s takes %d bytes: %v", e.Config.ID, keys.Size(), err)
		}
	}
	return []any{executors, networks, unbindings, revision}
}

// checkFeed holds the feed: one commit is one event, and no event tells a secret.
func (f *fixture) checkFeed() {
	f.Helper()
	if f.history != nil {
		return // its history is shorter
	}
	events := f.events(0)
	for i, e := range events {
		if e.Revision != uint64(i)+1 || e.Kind == "" || e.ID == "" || e.Action == "" || e.Time.IsZero() {
			f.Errorf("event %d of the feed is %+v", i+1, e)
		}
		text, err := json.Marshal(e)
		f.must(err)
		for _, secret := range f.secrets {
			if strings.Contains(string(text), secret) {
				f.Errorf("event %d tells the secret %s", e.Revision, secret)
			}
		}
	}
}

// events gives the events after a revision until now.
func (f *fixture) events(after uint64) (list []store.Event) {
	f.Helper()
	ctx := context.Background()
	last, err := f.Revision(ctx)
	f.must(err)
	if after == last {
		return nil
	}
	for e, err := range f.Watch(ctx, after) {
		f.must(err)
		if list = append(list, e); e.Revision == last {
			break
		}
	}
	return list
}

// event gives the one event that came after a revision.
func (f *fixture) event(after uint64) store.Event {
	f.Helper()
	list := f.events(after)
	if len(list) != 1 {
		f.Fatalf("%d events came: %+v", len(list), list)
	}
	return list[0]
}

// keys gives what the engine holds below a prefix.
func (f *fixture) keys(prefix string) map[string]string {
	f.Helper()
	keys := map[string]string{}
	f.must(f.engine.View(context.Background(), func(snap store.Snapshot) error {
		for kv, err := range snap.Range(prefix) {
			if err != nil {
				return err
			}
			keys[strings.TrimPrefix(kv.Key, prefix)] = string(kv.Value)
		}
		return nil
	}))
	return keys
}

// checkKeys compares the keys that things are found by with those that what is there should have.
func (f *fixture) checkKeys() {
	f.Helper()
	executors, _ := f.executors()
	want := map[string]string{}
	for _, e := range executors {
		id := e.Config.ID
		if b := e.Binding; b != nil {
			want["claim/"+b.Driver+"/"+b.Ref] = id
			if b.Instance != "" {
				want["claim/"+b.Driver+"/"+b.Instance] = id
			}
		}
		if e.Config.Name != "" {
			want[fmt.Sprintf("name/%x/%s", sha256.Sum256([]byte(e.Config.Name)), id)] = id
		}
		for name, endpoint := range e.Config.Networks {
			if endpoint.NetworkRef == "" {
				continue
			}
			want["ref/"+endpoint.NetworkRef+"/"+id+"/"+name] = id + "/" + name
			if endpoint.Static && endpoint.IP != nil {
				want["address/"+endpoint.NetworkRef+"/"+endpoint.IP.Addr().String()] = id + "/" + name
			}
		}
	}
	got := f.keys("")
	for key := range got {
		switch kind, _, _ := strings.Cut(key, "/"); kind {
		case "executor", "network", "unbinding", "cleaned":
			delete(got, key)
		case "vm":
			if !slices.ContainsFunc(executors, func(e *store.Executor) bool { return "vm/"+e.Config.ID == key }) {
				f.Errorf("%s is of no executor", key)
			}
			delete(got, key)
		}
	}
	if !reflect.DeepEqual(got, want) {
		f.Errorf("things are found by\n%v\nand should be by\n%v", got, want)
	}
}

// web is an executor with an entry in every map and something secret wherever there can be.
func (f *fixture) web(id string) *executor.ExecutorConfig {
	f.Helper()
	f.secrets = append(f.secrets, "pass-word", "cHJpdmF0ZS1rZXk", "private-key")
	source, err := executor.ParseSource("nfs://user:pass-word@host/export")
	f.must(err)
	ip := netip.MustParsePrefix("172.16.0.2/16")
	return &executor.ExecutorConfig{
		Common:      executor.Common{ID: id, Name: id + "-name", Notes: "notes"},
		Sessions:    map[string]*executor.SessionConfig{"main": {Cmd: executor.Cmd{Path: "/bin/main", Args: []string{"main"}}}},
		Execs:       map[string]*executor.SessionConfig{"e1": {Cmd: executor.Cmd{Path: "/bin/sh"}}},
		Mounts:      map[string]executor.MountSpec{"data": {Source: source, Path: "/data"}},
		Networks:    map[string]*executor.NetworkEndpoint{"eth0": {Static: true, IP: &ip, Network: executor.ContainerNetwork{Type: "bridge"}}},
		Key:         []byte("private-key"),
		Annotations: map[string]string{"owner": "alice"},
		Hostname:    "web",
	}
}

func (f *fixture) create(cfg *executor.ExecutorConfig) *store.Executor {
	f.Helper()
	e, err := f.CreateExecutor(f.Context(), cfg, nil)
	f.must(err)
	return e
}

func (f *fixture) get(id string) *store.Executor {
	f.Helper()
	e, err := f.Executor(f.Context(), id)
	f.must(err)
	return e
}

// put replaces an executor by what reading it showed, changed.
func (f *fixture) put(id string, change func(*executor.ExecutorConfig)) *store.Executor {
	f.Helper()
	cfg := f.get(id).Config.Clone()
	change(cfg)
	e, created, err := f.PutExecutor(f.Context(), cfg)
	f.must(err)
	if created {
		f.Fatalf("%s was created", id)
	}
	f.same(e, f.get(id))
	return e
}

// same compares what a write answered with what a read does.
func (f *fixture) same(wrote, read *store.Executor) {
	f.Helper()
	if !reflect.DeepEqual(wrote, read) {
		f.Errorf("the write answered\n%s\nand reading it gives\n%s", show(wrote), show(read))
	}
}

func show(e *store.Executor) string {
	config, err := json.Marshal(e.Config)
	return fmt.Sprintf("%d-%d %s %+v %v", e.ConfigRevision, e.Revision, config, e.Binding, err)
}

// at checks an executor's revisions.
func (f *fixture) at(e *store.Executor, config, revision uint64) {
	f.Helper()
	if e.ConfigRevision != config || e.Revision != revision {
		f.Errorf("executor %s is at %d-%d, want %d-%d", e.Config.ID, e.ConfigRevision, e.Revision, config, revision)
	}
}

// still runs what must not commit anything.
func (f *fixture) still(fn func()) {
	f.Helper()
	before := f.revision()
	fn()
	if after := f.revision(); after != before {
		f.Errorf("there was a commit: %+v", f.events(before))
	}
}

func (f *fixture) revision() uint64 {
	f.Helper()
	revision, err := f.Revision(f.Context())
	f.must(err)
	return revision
}

// bound binds an executor and pins its VM.
func (f *fixture) bound(id, ref, instance string) *store.Executor {
	f.Helper()
	e, _, err := f.Bind(f.Context(), id, store.Binding{Driver: "vsphere", Ref: ref})
	f.must(err)
	f.must(f.Pin(f.Context(), id, e.Binding, instance))
	return f.get(id)
}

// report lets the guest report.
func (f *fixture) report(id string, set func(*executor.ExecutorConfig)) *store.Executor {
	f.Helper()
	e := f.get(id)
	e, err := f.Report(f.Context(), id, e.Binding.Instance, map[string]string{}, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
		set(c)
		return nil, nil
	})
	f.must(err)
	f.same(e, f.get(id))
	return e
}

func (f *fixture) network(name string, change func(*executor.ContainerNetwork)) *store.Network {
	f.Helper()
	n, err := f.CreateNetwork(f.Context(), store.Network{Config: bridge(name, change)})
	f.must(err)
	return n
}

// bridge is a container network.
func bridge(name string, change func(*executor.ContainerNetwork)) *executor.ContainerNetwork {
	n := &executor.ContainerNetwork{
		Common:      executor.Common{Name: name, ID: "id-of-" + name},
		Type:        "bridge",
		Gateway:     netip.MustParsePrefix("172.16.0.1/16"),
		Nameservers: []netip.Addr{netip.MustParseAddr("10.0.0.53")},
		Aliases:     []string{"the network's"},
		Default:     true,
	}
	if change != nil {
		change(n)
	}
	return n
}

// faults checks that an error is of faults of exactly these fields.
func (f *fixture) faults(err error, fields ...string) {
	f.Helper()
	var faults executor.Faults
	if !errors.As(err, &faults) {
		f.Fatalf("the error is %v, want faults of %q", err, fields)
	}
	var got []string
	for _, fault := range faults {
		got = append(got, fault.Field)
		for _, secret := range f.secrets {
			if strings.Contains(fault.Message, secret) {
				f.Errorf("a fault of %s tells the secret %s", fault.Field, secret)
			}
		}
	}
	if !slices.Equal(got, fields) {
		f.Errorf("faults of %q, want %q: %v", got, fields, err)
	}
}
