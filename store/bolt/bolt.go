// Package bolt is the embedded engine of the store: one bbolt file. Only this package imports bbolt.
//
// Three buckets hold the current keys (each value behind the revision that wrote it), the log of commits
// by revision, and the engine's own format and revision.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vmexecutor/config-server/store"
)

// History is how many commits a watch can go back, unless WithHistory says otherwise.
const History = 100_000

// Engine is a store.Engine in one file.
type Engine struct {
	db      *bbolt.DB
	history uint64

	mu     sync.Mutex
	commit chan struct{} // closed and replaced at each commit
	closed chan struct{}
	once   sync.Once // closes it
}

var _ store.Engine = (*Engine)(nil)

// Option changes what Open makes.
type Option func(*Engine)

// WithHistory keeps that many commits for watches to go back to; at least one.
func WithHistory(commits uint64) Option { return func(e *Engine) { e.history = max(commits, 1) } }

// Close implements store.Engine. It lets go of the file.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.closed) })
	return e.db.Close()
}

// View implements store.Engine.
func (e *Engine) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return translate(e.db.View(func(tx *bbolt.Tx) error {
		return fn(snapshot{keys: tx.Bucket(keysBucket), revision: revisionOf(tx)})
	}))
}

// Commit implements store.Engine.
func (e *Engine) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var revision uint64
	err := e.db.Update(func(tx *bbolt.Tx) error {
		keys := tx.Bucket(keysBucket)
		for _, c := range t.Compare {
			if !holds(keys, c) {
				return store.ErrConflict
			}
		}
		revision = revisionOf(tx) + 1
		for _, op := range t.Ops {
			if err := apply(keys, op, revision); err != nil {
				return fmt.Errorf("write %s: %w", op.Key, err)
			}
		}
		return e.log(tx, revision, t.Event)
	})
	if err != nil {
		return 0, translate(err)
	}
	e.announce()
	return revision, nil
}

// trim is how many old commits one commit may drop: as many as come, and one more so that a history which was
// made shorter gets there, but never so many that a commit pays for others.
const trim = 2

// log notes a commit and drops what has become too old.
func (e *Engine) log(tx *bbolt.Tx, revision uint64, event []byte) error {
	log := tx.Bucket(logBucket)
	log.FillPercent = 1 // it only ever grows at its end
	if err := log.Put(number(revision), event); err != nil {
		return fmt.Errorf("log revision %d: %w", revision, err)
	}
	if revision > e.history {
		cursor := log.Cursor()
		for range trim {
			if old, _ := cursor.First(); revisionOfKey(old) > revision-e.history {
				break
			}
			if err := cursor.Delete(); err != nil {
				return fmt.Errorf("trim the log: %w", err)
			}
		}
	}
	return tx.Bucket(metaBucket).Put(revisionKey, number(revision))
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
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}
