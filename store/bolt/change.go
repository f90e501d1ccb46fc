package bolt

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// change is a transaction of bbolt while commits are made in it.
type change struct {
	keys, log, meta *bbolt.Bucket
	state           state
	now             time.Time
	commits         int   // that were made
	bytes           int64 // that they take in the log
}

func begin(tx *bbolt.Tx, now time.Time) (*change, error) {
	s, err := stateOf(tx)
	if err != nil {
		return nil, err
	}
	c := &change{keys: tx.Bucket(keysBucket), log: tx.Bucket(logBucket), meta: tx.Bucket(metaBucket), state: s, now: now}
	c.log.FillPercent = 1 // it only ever grows at its end
	return c, nil
}

func (c *change) allHold(list []store.Compare) bool {
	for _, x := range list {
		if !holds(c.keys, x) {
			return false
		}
	}
	return true
}

// commit makes a transaction the next revision.
func (c *change) commit(t store.Txn) error {
	revision := c.state.revision + 1
	for _, op := range t.Ops {
		if err := c.apply(op, revision); err != nil {
			return fmt.Errorf("write %s: %w", op.Key, err)
		}
	}
	size := entrySize(t.Event)
	k, v := logEntry{revision: revision, time: c.now, total: c.state.total + size, event: t.Event}.encode()
	if err := c.log.Put(k, v); err != nil {
		return fmt.Errorf("log revision %d: %w", revision, err)
	}
	c.state.revision, c.state.total = revision, c.state.total+size
	c.commits, c.bytes = c.commits+1, c.bytes+size
	return nil
}

// apply changes a key, and the sum of all.
func (c *change) apply(op store.Op, revision uint64) error {
	key := []byte(op.Key)
	if old := c.keys.Get(key); old != nil {
		c.state.sum -= checksumOf(old)
	}
	if op.Value == nil {
		return c.keys.Delete(key)
	}
	stored := frame(key, revision, op.Value)
	c.state.sum += checksumOf(stored)
	return c.keys.Put(key, stored)
}

// end drops what the history need not have, no more than about twice of what came: so it gets shorter, and no commit
// pays much for others. Then it writes the state.
func (c *change) end(h store.History) error {
	if _, err := c.trim(h, 2*c.commits, 2*c.bytes); err != nil {
		return err
	}
	return c.meta.Put(stateKey, c.state.encode())
}

// trim drops the oldest commits that the history need not have, until there were so many and they took so many bytes. It tells whether it dropped any.
func (c *change) trim(h store.History, commits int, bytes int64) (dropped bool, err error) {
	cursor := c.log.Cursor()
	for commits > 0 || bytes > 0 {
		oldest, err := decodeEntry(cursor.First())
		if err != nil {
			return dropped, err
		}
		size := entrySize(oldest.event)
		if !h.Exceeds(c.state.revision-oldest.revision+1, c.state.total-oldest.total+size, c.now.Sub(oldest.time)) {
			break
		}
		if err := cursor.Delete(); err != nil {
			return dropped, fmt.Errorf("trim the log: %w", err)
		}
		commits, bytes, dropped = commits-1, bytes-size, true
	}
	return dropped, nil
}
