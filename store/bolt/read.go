package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// snapshot reads inside one bbolt transaction.
type snapshot struct {
	keys     *bbolt.Bucket
	revision uint64
}

func (s snapshot) Revision() uint64 { return s.revision }

func (s snapshot) Get(key string) (store.KV, bool, error) {
	revision, value := split(s.keys.Get([]byte(key)))
	return store.KV{Key: key, Value: value, Revision: revision}, revision > 0, nil
}

func (s snapshot) Range(prefix string) iter.Seq2[store.KV, error] {
	return func(yield func(store.KV, error) bool) {
		cursor := s.keys.Cursor()
		for k, v := cursor.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = cursor.Next() {
			revision, value := split(v)
			if !yield(store.KV{Key: string(k), Value: value, Revision: revision}, nil) {
				return
			}
		}
	}
}

// batch is how many commits a watch reads at once: no transaction stays open while its reader works.
const batch = 256

// Watch implements store.Engine. It reads the log, and commits only wake it up: a reader that is slow reads later.
func (e *Engine) Watch(ctx context.Context, after uint64) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for {
			wake := e.next() // before reading: a commit in between wakes at once
			changes, err := e.since(after)
			if err != nil {
				yield(store.Change{}, err)
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
				after = c.Revision
			}
			if len(changes) > 0 {
				continue
			}
			select {
			case <-wake:
			case <-e.closed:
				yield(store.Change{}, store.ErrClosed)
				return
			case <-ctx.Done():
				yield(store.Change{}, ctx.Err())
				return
			}
		}
	}
}

// since reads some commits after a revision.
func (e *Engine) since(after uint64) ([]store.Change, error) {
	var changes []store.Change
	err := e.db.View(func(tx *bbolt.Tx) error {
		switch revision := revisionOf(tx); {
		case after > revision:
			return fmt.Errorf("watch from revision %d, now is %d: %w", after, revision, store.ErrFuture)
		case after == revision:
			return nil
		}
		cursor := tx.Bucket(logBucket).Cursor()
		k, v := cursor.Seek(number(after + 1))
		if k == nil || binary.BigEndian.Uint64(k) != after+1 {
			return fmt.Errorf("watch from revision %d: %w", after, store.ErrCompacted)
		}
		for ; k != nil && len(changes) < batch; k, v = cursor.Next() {
			changes = append(changes, store.Change{Revision: binary.BigEndian.Uint64(k), Event: slices.Clone(v)})
		}
		return nil
	})
	return changes, translate(err)
}
