// Package bolt is the embedded engine of the store: one bbolt file. Only this package imports bbolt.
//
// Three buckets hold the current keys (each value behind the revision that wrote it and a checksum), the log of commits
// by revision, and the engine's own format and state. Package app opens it, backs it up and restores it.
package bolt

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vmexecutor/config-server/store"
)

// Engine is a store.Engine in one file.
type Engine struct {
	path      string
	history   store.History
	compactAt int64 // the smallest file that is compacted by itself, in bytes
	logger    *slog.Logger
	lock      *os.File                 // held as long as the engine is open
	db        atomic.Pointer[bbolt.DB] // another one after a compaction

	turn    chan struct{} // whoever has put something in writes
	queue   queue
	changed *keySet  // keys that were written since a compaction began; nil when there is none. Under turn
	last    struct { // what the groups that were committed tell of the next. Under turn
		writes int
		took   time.Duration
	}
	broken error // why nothing is written any more. Under turn
	apply  func(c *change, t store.Txn) error
	copies sync.Mutex // held by a compaction: one at a time
	counts struct{ commits, transactions atomic.Uint64 }

	mu         sync.Mutex
	commit     chan struct{} // closed and replaced at each commit
	closed     chan struct{}
	once       sync.Once // closes it
	background sync.WaitGroup
}

var (
	_ store.Engine   = (*Engine)(nil)
	_ store.Backuper = (*Engine)(nil)
	_ store.Rewriter = (*Engine)(nil)
)

// Option changes what Open makes.
type Option func(*Engine)

// WithHistory says how far watches can go back; store.DefaultHistory otherwise.
func WithHistory(h store.History) Option { return func(e *Engine) { e.history = h } }

// WithLogger tells of what the engine does by itself, and of failures that its errors only name. Without it nobody is told.
func WithLogger(l *slog.Logger) Option { return func(e *Engine) { e.logger = l } }

// WithCompaction has files compacted from that size on, in bytes, once most of one is free; 64 MiB otherwise.
func WithCompaction(size int64) Option { return func(e *Engine) { e.compactAt = size } }

// Stats are figures of an engine.
type Stats struct {
	Size, Free   int64  // of the file in bytes: what is in use or was, and what of that is free
	Commits      uint64 // since Open
	Transactions uint64 // of bbolt, since Open. Each syncs the file twice, once more when it grows
}

// Stats gives the figures as they are now; zero when the engine is closed.
func (e *Engine) Stats() Stats {
	s := Stats{Commits: e.counts.commits.Load(), Transactions: e.counts.transactions.Load()}
	_ = e.view(func(tx *bbolt.Tx) error { // it can only be closed
		stats := tx.DB().Stats()
		s.Size, s.Free = tx.Size(), int64(stats.FreePageN+stats.PendingPageN)*int64(tx.DB().Info().PageSize)
		return nil
	})
	return s
}

// Close implements store.Engine. It lets go of the file.
func (e *Engine) Close() error {
	var err error
	e.once.Do(func() {
		close(e.closed)
		e.background.Wait()
		e.turn <- struct{}{}
		err = errors.Join(e.db.Load().Close(), e.lock.Close())
		<-e.turn
	})
	return err
}

// View implements store.Engine.
func (e *Engine) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.view(func(tx *bbolt.Tx) error {
		state, err := stateOf(tx)
		if err != nil {
			return err
		}
		return fn(snapshot{keys: tx.Bucket(keysBucket), revision: state.revision})
	})
}

// view reads the file, whichever that is: after a compaction another one.
func (e *Engine) view(fn func(*bbolt.Tx) error) error {
	for {
		db := e.db.Load()
		begun := false
		err := db.View(func(tx *bbolt.Tx) error {
			begun = true
			return fn(tx)
		})
		if !begun && e.db.Load() != db {
			continue
		}
		return translate(err)
	}
}

// announce wakes the watches.
func (e *Engine) announce() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.commit)
	e.commit = make(chan struct{})
}

// next gives the channel that is closed at the next commit.
func (e *Engine) next() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.commit
}

func translate(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return store.ErrClosed
	case noSpace(err):
		return &spaceError{err}
	}
	return err
}
