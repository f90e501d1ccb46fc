package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

const (
	copyBytes = 4 << 20 // that one transaction of the copy takes
	// The rest of a copy is made while nobody writes, once it has no more than a few keys. Where writers are so quick that it never
	// has, it may be longer; and when it would be much longer the compaction is given up.
	fewKeys, manyKeys, rounds = 256, 16_384, 16
)

// keySet are the keys that were written since a moment.
type keySet struct{ keys map[string]struct{} }

func (s *keySet) add(t store.Txn) {
	if s == nil {
		return
	}
	for _, op := range t.Ops {
		s.keys[op.Key] = struct{}{}
	}
}

func newKeySet() *keySet { return &keySet{keys: map[string]struct{}{}} }

// errBusy: there are so many writes that a copy does not come to its end.
var errBusy = errors.New("there are too many writes")

// compact makes the file anew, without its free pages. Reads and writes go on meanwhile: what is written is copied afterwards, in
// rounds, the last of which writers wait for. A new file takes the old one's place when it is whole and on disk; an end of the
// process at any moment leaves one or the other, both with all that was answered.
func (e *Engine) compact(ctx context.Context) error {
	e.copies.Lock()
	defer e.copies.Unlock()
	made := filepath.Join(filepath.Dir(e.path), newName)
	err := e.write(func() error {
		e.changed = newKeySet()
		return nil
	})
	if err != nil {
		return err
	}
	fresh, err := e.copyTo(ctx, made)
	err = firstOf(err, e.write(func() error {
		changed := e.changed
		e.changed = nil
		if err != nil {
			return err
		}
		return e.replaceBy(fresh, made, changed)
	}))
	if err != nil {
		if fresh != nil {
			err = errors.Join(err, fresh.Close())
		}
		return errors.Join(fmt.Errorf("compact: %w", err), os.RemoveAll(made))
	}
	return nil
}

// write runs what must not be beside a commit.
func (e *Engine) write(fn func() error) error {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	select {
	case <-e.closed:
		return store.ErrClosed
	default:
		return fn()
	}
}

// copyTo makes a file that has all but what was written last.
func (e *Engine) copyTo(ctx context.Context, path string) (*bbolt.DB, error) {
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	fresh, err := openFile(path)
	if err != nil {
		return nil, err
	}
	fresh.NoSync = true // until it is the store
	if err := e.view(func(from *bbolt.Tx) error { return copyAll(fresh, from) }); err != nil {
		return fresh, err
	}
	for range rounds {
		if err := ctx.Err(); err != nil {
			return fresh, err
		}
		var changed *keySet
		_ = e.write(func() error { // closed or not: the file is not closed before this ends
			changed, e.changed = e.changed, newKeySet()
			return nil
		})
		if changed == nil {
			return fresh, store.ErrClosed
		}
		if err := e.follow(fresh, changed); err != nil {
			return fresh, err
		}
		if len(changed.keys) <= fewKeys {
			break
		}
	}
	return fresh, fresh.Sync()
}

// copyAll copies what one transaction sees. (bbolt.Compact commits its last part after it has closed the transaction that it reads from:
// what that refers to may have been written over by then.)
func copyAll(fresh *bbolt.DB, from *bbolt.Tx) error {
	for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
		cursor := from.Bucket(name).Cursor()
		for k, v := cursor.First(); ; {
			err := fresh.Update(func(to *bbolt.Tx) error {
				b, err := to.CreateBucketIfNotExists(name)
				if err != nil {
					return err
				}
				b.FillPercent = 1
				for size := 0; k != nil && size < copyBytes; k, v = cursor.Next() {
					if err := b.Put(k, v); err != nil {
						return err
					}
					size += len(k) + len(v)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if k == nil {
				break
			}
		}
	}
	return nil
}

// follow brings a copy up to date, in which these keys may be old.
func (e *Engine) follow(fresh *bbolt.DB, changed *keySet) error {
	return e.view(func(from *bbolt.Tx) error {
		return fresh.Update(func(to *bbolt.Tx) error {
			source, keys := from.Bucket(keysBucket), to.Bucket(keysBucket)
			for key := range changed.keys {
				k := []byte(key)
				var err error
				if stored := source.Get(k); stored == nil {
					err = keys.Delete(k)
				} else {
					err = keys.Put(k, stored)
				}
				if err != nil {
					return err
				}
			}
			if err := followLog(from.Bucket(logBucket), to.Bucket(logBucket)); err != nil {
				return err
			}
			return to.Bucket(metaBucket).Put(stateKey, from.Bucket(metaBucket).Get(stateKey))
		})
	})
}

// followLog adds what came to a log and drops what went from it.
func followLog(from, to *bbolt.Bucket) error {
	to.FillPercent = 1
	source, cursor := from.Cursor(), to.Cursor()
	oldest, _ := source.First()
	for k, _ := cursor.First(); k != nil && bytes.Compare(k, oldest) < 0; k, _ = cursor.First() {
		if err := cursor.Delete(); err != nil {
			return err
		}
	}
	last, _ := cursor.Last()
	for k, v := source.Seek(number(numberOf(last) + 1)); k != nil; k, v = source.Next() {
		if err := to.Put(k, v); err != nil {
			return err
		}
	}
	return nil
}

// replaceBy makes a copy the store, while nobody writes.
func (e *Engine) replaceBy(fresh *bbolt.DB, path string, changed *keySet) error {
	if len(changed.keys) > manyKeys {
		return errBusy
	}
	if err := e.follow(fresh, changed); err != nil {
		return err
	}
	if err := fresh.Sync(); err != nil {
		return err
	}
	fresh.NoSync = false
	if err := os.Rename(path, e.path); err != nil {
		return err
	}
	old := e.db.Swap(fresh)
	e.background.Go(func() { // waits for those who read it still
		if err := old.Close(); err != nil {
			e.logger.Error("the file before a compaction does not close", "error", err)
		}
	})
	if err := syncDirs(filepath.Dir(e.path)); err != nil {
		// A power cut could bring the old file back: what is written from now on would not be in it.
		e.broken = fmt.Errorf("after a compaction the directory cannot be synced: %w", err)
		e.logger.Error("nothing is written any more", "error", e.broken)
	}
	return nil
}
