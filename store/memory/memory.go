// Package memory is the engine of the store that keeps everything in memory, and forgets it when the process ends. It is for tests
// that open many stores, as the yardstick of benchmarks, and for trying the server without leaving anything behind.
//
// Package app opens it when it is told to keep no data; tests of any package may.
package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/vmexecutor/config-server/store"
)

// Engine is a store.Engine in memory.
type Engine struct {
	history store.History

	mu     sync.Mutex
	state  *state // replaced at each commit, never changed
	log    []entry
	total  int64
	commit chan struct{} // closed and replaced at each commit
	closed chan struct{}
	once   sync.Once // closes it
	using  sync.WaitGroup
}

var (
	_ store.Engine   = (*Engine)(nil)
	_ store.Rewriter = (*Engine)(nil)
)

// state is all keys at one revision.
type state struct {
	revision uint64
	keys     *btree.BTreeG[store.KV]
}

type entry struct {
	store.Change
	time  time.Time
	total int64 // bytes of all events up to this one
}

// entrySize is what an event counts for, beside its text.
const entrySize = 64

// New makes an empty store.
func New(h store.History) *Engine {
	keys := btree.NewG(32, func(a, b store.KV) bool { return a.Key < b.Key })
	return &Engine{history: h, state: &state{keys: keys}, commit: make(chan struct{}), closed: make(chan struct{})}
}

// Reopen makes a store of all that one had which was closed: what a restart is for an engine on disk.
func (e *Engine) Reopen() *Engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := New(e.history)
	next.state, next.log, next.total = e.state, slices.Clone(e.log), e.total
	return next
}

// Close implements store.Engine.
func (e *Engine) Close() error {
	e.once.Do(func() {
		e.mu.Lock()
		close(e.closed)
		e.mu.Unlock()
	})
	e.using.Wait()
	return nil
}

// begin notes that the engine is used, until the function that it gives is called.
func (e *Engine) begin(ctx context.Context) (*state, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return nil, nil, store.ErrClosed
	default:
		e.using.Add(1)
		return e.state, e.using.Done, nil
	}
}

// View implements store.Engine.
func (e *Engine) View(ctx context.Context, fn func(store.Snapshot) error) error {
	s, end, err := e.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return fn(s)
}

// Commit implements store.Engine.
func (e *Engine) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	_, end, err := e.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range t.Compare {
		if !e.state.holds(c) {
			return 0, store.ErrConflict
		}
	}
	next := &state{e.state.revision + 1, e.state.keys.Clone()}
	for _, op := range t.Ops {
		if op.Value == nil {
			next.keys.Delete(store.KV{Key: op.Key})
		} else {
			next.keys.ReplaceOrInsert(store.KV{Key: op.Key, Value: clone(op.Value), Revision: next.revision})
		}
	}
	e.total += entrySize + int64(len(t.Event))
	e.log = append(e.log, entry{store.Change{Revision: next.revision, Event: clone(t.Event)}, time.Now(), e.total})
	e.state = next
	e.trim()
	close(e.commit)
	e.commit = make(chan struct{})
	return next.revision, nil
}

// trim drops what the history need not have.
func (e *Engine) trim() {
	for len(e.log) > 0 {
		oldest := e.log[0]
		if !e.history.Exceeds(uint64(len(e.log)), e.total-oldest.total+entrySize+int64(len(oldest.Event)), time.Since(oldest.time)) {
			return
		}
		e.log[0] = entry{} // append copies the rest one day, and until then this is not held
		e.log = e.log[1:]
	}
}

// clone keeps apart what is empty and what is not there.
func clone(b []byte) []byte { return append([]byte{}, b...) }
