// Package store holds executors, container networks and VM bindings: typed, validated, under one
// revision for every commit, with one feed of what happened. It is the truth about configuration.
//
// The store itself is written once, above a small Engine; store/bolt is the embedded one. Packages push,
// handlers and app use it; it imports the domain and the codec.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Limits of what can travel into a VM, in bytes.
const (
	MaxValue  = 64 << 10 // of one value
	MaxKeySet = 1 << 20  // of all keys and values of an executor
)

// Options are what a Store works with. The zero value will do.
type Options struct {
	Now    func() time.Time // the clock; time.Now
	Logger *slog.Logger     // nil discards
}

// Store is the typed store. All methods may be called at the same time; each change is one commit, durable
// when it is answered, and a change that changes nothing commits nothing.
type Store struct {
	engine Engine
	codec  *extraconfig.Codec[executor.ExecutorConfig]
	now    func() time.Time
	log    *slog.Logger
}

// New makes a store of what an engine holds. The engine stays the caller's to close.
func New(e Engine, o Options) (*Store, error) {
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		return nil, err
	}
	s := &Store{engine: e, codec: codec, now: o.Now, log: o.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Codec gives the codec of executors.
func (s *Store) Codec() *extraconfig.Codec[executor.ExecutorConfig] { return s.codec }

// Revision gives that of the last commit.
func (s *Store) Revision(ctx context.Context) (revision uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		revision = snap.Revision()
		return nil
	})
	return revision, err
}

// KeySet gives the key set that an executor's VM should hold.
func (s *Store) KeySet(e *Executor) (extraconfig.KeySet, error) {
	return s.codec.Encode(e.Config, extraconfig.WithSecretKey(e.SecretKey))
}

// Watch gives every event after a revision, in order, without gap or duplicate, then those to come, until ctx
// ends: the last element has the error. ErrCompacted: list, and watch from the revision of the list.
func (s *Store) Watch(ctx context.Context, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for change, err := range s.engine.Watch(ctx, after) {
			var e Event
			if err == nil {
				err = json.Unmarshal(change.Event, &e)
			}
			e.Revision = change.Revision
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// txn is a change while it is made: what it read must still hold when it is committed.
type txn struct {
	snap     Snapshot
	compare  []Compare
	ops      []Op
	event    Event
	networks map[string]*Network // that were looked at
}

// errUnchanged ends a change that would change nothing.
var errUnchanged = errors.New("nothing would change")

// update makes a change and answers the revision it got, or, when fn ends with errUnchanged, the present one. fn is
// run again when somebody else was quicker; it must have no effect but on t.
func (s *Store) update(ctx context.Context, fn func(t *txn) error) (revision uint64, err error) {
	for {
		t := &txn{networks: map[string]*Network{}}
		err := s.engine.View(ctx, func(snap Snapshot) error {
			t.snap = snap
			revision = snap.Revision()
			return fn(t)
		})
		if errors.Is(err, errUnchanged) {
			return revision, nil
		}
		if err != nil {
			return 0, err
		}
		t.event.Time = s.now().UTC()
		t.event.Actor = actorOf(ctx)
		event, err := json.Marshal(t.event)
		if err != nil {
			return 0, fmt.Errorf("encode event: %w", err)
		}
		revision, err = s.engine.Commit(ctx, Txn{Compare: t.compare, Ops: t.ops, Event: event})
		if !errors.Is(err, ErrConflict) {
			return revision, err
		}
	}
}

// get reads a key; the change depends on it.
func (t *txn) get(key string) (KV, bool, error) {
	kv, found, err := t.snap.Get(key)
	if err == nil {
		t.compare = append(t.compare, Compare{Key: key, Revision: kv.Revision})
	}
	return kv, found, err
}

// read reads a record that get finds.
func (t *txn) read(key string, record record) (revision uint64, found bool, err error) {
	kv, found, err := t.get(key)
	if err != nil || !found {
		return 0, false, err
	}
	return kv.Revision, true, decode(kv, record)
}

// below gives the keys below a prefix; the change depends on none being added.
func (t *txn) below(prefix string) ([]KV, error) {
	t.compare = append(t.compare, Compare{Key: prefix, Prefix: true, Revision: t.snap.Revision()})
	return collect(t.snap, prefix)
}

func collect(snap Snapshot, prefix string) ([]KV, error) {
	var list []KV
	for kv, err := range snap.Range(prefix) {
		if err != nil {
			return nil, err
		}
		kv.Value = slices.Clone(kv.Value)
		list = append(list, kv)
	}
	return list, nil
}

func (t *txn) put(key string, value []byte) { t.ops = append(t.ops, Op{Key: key, Value: value}) }

func (t *txn) delete(key string) { t.ops = append(t.ops, Op{Key: key}) }

// write encodes a record.
func (t *txn) write(key string, r record) error {
	value, err := encode(r)
	if err == nil {
		t.put(key, value)
	}
	return err
}
