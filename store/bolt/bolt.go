// Package bolt is the embedded engine of the store: one bbolt file. Only this package imports bbolt.
//
// Three buckets hold the current keys (each value behind the revision that wrote it), the log of commits
// by revision, and the engine's own format and counters.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vmexecutor/config-server/store"
)

const (
	// FileName is the file in the data directory.
	FileName = "store.db"

	format     = 1
	lockWait   = 200 * time.Millisecond // for another process to let go of the file
	logEntries = 100_000                // commits that a watch can go back
)

var (
	keysBucket = []byte("keys")
	logBucket  = []byte("log")
	metaBucket = []byte("meta")

	formatKey   = []byte("format")
	revisionKey = []byte("revision")
)

// Engine is a store.Engine in one file.
type Engine struct {
	db      *bbolt.DB
	history uint64

	mu     sync.Mutex
	commit chan struct{} // closed and replaced at each commit
	closed chan struct{}
}

var _ store.Engine = (*Engine)(nil)

// Option changes what Open makes.
type Option func(*Engine)

// WithHistory keeps that many commits for watches to go back to, instead of 100,000.
func WithHistory(commits uint64) Option { return func(e *Engine) { e.history = commits } }

// Open opens the store in a directory, and makes both when they do not exist. One process at a time can have it open:
// otherwise the error is store.ErrLocked. A store of a newer format is store.ErrFormat, and is left as it is.
func Open(dir string, options ...Option) (*Engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, FileName)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open store: %w %s", store.ErrLocked, dir)
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	e := &Engine{db: db, history: logEntries, commit: make(chan struct{}), closed: make(chan struct{})}
	for _, o := range options {
		o(e)
	}
	if err := e.prepare(); err != nil {
		db.Close()
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return e, nil
}

// prepare makes the buckets of a new store, and refuses what it does not know.
func (e *Engine) prepare() error {
	known := false
	err := e.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return nil
		}
		known = true
		found := string(meta.Get(formatKey))
		if n, err := strconv.Atoi(found); err != nil || n > format {
			return fmt.Errorf("%w: format %q, this one knows %d", store.ErrFormat, found, format)
		}
		if tx.Bucket(keysBucket) == nil || tx.Bucket(logBucket) == nil {
			return errors.New("the file is not a store of this program")
		}
		return nil
	})
	if err != nil || known {
		return err
	}
	return e.db.Update(func(tx *bbolt.Tx) error {
		if name, _ := tx.Cursor().First(); name != nil {
			return errors.New("the file is not a store of this program")
		}
		for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, strconv.AppendInt(nil, format, 10))
	})
}

// Close ends all watches and lets go of the file.
func (e *Engine) Close() error {
	e.mu.Lock()
	select {
	case <-e.closed:
		e.mu.Unlock()
		return nil
	default:
	}
	close(e.closed)
	e.mu.Unlock()
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
				return err
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

// log notes a commit, and drops what has become too old: as much as came, so that no commit pays for many.
func (e *Engine) log(tx *bbolt.Tx, revision uint64, event []byte) error {
	log := tx.Bucket(logBucket)
	if err := log.Put(number(revision), event); err != nil {
		return err
	}
	if revision > e.history {
		cursor := log.Cursor()
		for range 2 {
			old, _ := cursor.First()
			if old == nil || binary.BigEndian.Uint64(old) > revision-e.history {
				break
			}
			if err := cursor.Delete(); err != nil {
				return err
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

func holds(keys *bbolt.Bucket, c store.Compare) bool {
	if !c.Prefix {
		revision, _ := split(keys.Get([]byte(c.Key)))
		return revision == c.Revision
	}
	cursor := keys.Cursor()
	for k, v := cursor.Seek([]byte(c.Key)); k != nil && strings.HasPrefix(string(k), c.Key); k, v = cursor.Next() {
		if revision, _ := split(v); revision > c.Revision {
			return false
		}
	}
	return true
}

func apply(keys *bbolt.Bucket, op store.Op, revision uint64) error {
	if op.Value == nil {
		return keys.Delete([]byte(op.Key))
	}
	return keys.Put([]byte(op.Key), append(number(revision), op.Value...))
}

// number is a revision as it is stored: its order is that of its bytes.
func number(revision uint64) []byte { return binary.BigEndian.AppendUint64(nil, revision) }

// split takes the revision off a stored value; 0 when there is none.
func split(stored []byte) (uint64, []byte) {
	if len(stored) < 8 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(stored), stored[8:]
}

func revisionOf(tx *bbolt.Tx) uint64 {
	revision, _ := split(tx.Bucket(metaBucket).Get(revisionKey))
	return revision
}

func translate(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}
