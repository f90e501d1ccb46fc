package bolt

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// A watch reads this much at once. No transaction stays open while its reader works.
const (
	batchCommits = 256
	batchBytes   = 1 << 20
)

// Watch implements store.Engine. It reads the log, and commits only wake it up: a reader that is slow reads later.
func (e *Engine) Watch(ctx context.Context, after uint64) iter.Seq2[store.Change, error] {
	return store.Follow(ctx, after, e.closed, func(after uint64) ([]store.Change, <-chan struct{}, error) {
		wake := e.next() // before reading: a commit in between wakes at once
		changes, err := e.since(after)
		return changes, wake, err
	})
}

// since reads some commits after a revision.
func (e *Engine) since(after uint64) ([]store.Change, error) {
	var changes []store.Change
	err := e.view(func(tx *bbolt.Tx) error {
		s, err := stateOf(tx)
		switch {
		case err != nil:
			return err
		case after > s.revision:
			return fmt.Errorf("watch from revision %d, when the last is %d: %w", after, s.revision, store.ErrFuture)
		case after == s.revision:
			return nil
		}
		cursor := tx.Bucket(logBucket).Cursor()
		k, v := cursor.Seek(number(after + 1))
		if !bytes.Equal(k, number(after+1)) {
			return fmt.Errorf("watch from revision %d: %w", after, store.ErrCompacted)
		}
		for size := 0; k != nil && len(changes) < batchCommits && size < batchBytes; k, v = cursor.Next() {
			l, err := decodeEntry(k, v)
			if err != nil {
				return err
			}
			changes = append(changes, store.Change{Revision: l.revision, Event: slices.Clone(l.event)})
			size += len(v)
		}
		return nil
	})
	return changes, err
}
