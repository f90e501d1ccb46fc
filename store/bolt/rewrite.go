package bolt

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// rewriteBytes is about how much one transaction of a rewriting takes: those who commit wait for it.
const rewriteBytes = 1 << 20

// Rewrite implements store.Rewriter. In the end the file is compacted, as its free pages have what was there before: perhaps since a
// rewriting that was cut off.
func (e *Engine) Rewrite(ctx context.Context, stale func(key string, value []byte) bool, fresh func(key string, value []byte) ([]byte, error)) (rewritten int, err error) {
	for from := ""; ; {
		keys, next, err := e.staleFrom(ctx, from, stale)
		if err != nil {
			return rewritten, err
		}
		if len(keys) == 0 {
			break
		}
		n, err := e.rewrite(keys, stale, fresh)
		if err != nil {
			return rewritten, err
		}
		rewritten, from = rewritten+n, next
	}
	return rewritten, e.compact(ctx)
}

// staleFrom finds some keys that are stale, from one on, and where to go on after them.
func (e *Engine) staleFrom(ctx context.Context, from string, stale func(key string, value []byte) bool) (keys []string, next string, err error) {
	err = e.view(func(tx *bbolt.Tx) error {
		size, cursor := 0, tx.Bucket(keysBucket).Cursor()
		for k, v := cursor.Seek([]byte(from)); k != nil && size < rewriteBytes; k, v = cursor.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, value, err := unframe(k, v)
			if err != nil {
				return err
			}
			if stale(string(k), value) {
				keys, size = append(keys, string(k)), size+len(v)
				next = string(k) + "\x00"
			}
		}
		return nil
	})
	return keys, next, err
}

// rewrite rewrites what is stale of some keys now.
func (e *Engine) rewrite(keys []string, stale func(key string, value []byte) bool, fresh func(key string, value []byte) ([]byte, error)) (rewritten int, err error) {
	var ops []store.Op
	err = e.write(func() error {
		if e.broken != nil {
			return e.broken
		}
		return e.update(func(tx *bbolt.Tx) error {
			c, err := begin(tx, time.Now())
			if err != nil {
				return err
			}
			for _, key := range keys {
				kv, found, err := snapshot{keys: c.keys}.Get(key)
				if err != nil {
					return err
				}
				if !found || !stale(key, kv.Value) {
					continue
				}
				if kv.Value, err = fresh(key, kv.Value); err != nil {
					return err
				}
				op := store.Op{Key: key, Value: kv.Value}
				if err := c.apply(op, kv.Revision); err != nil {
					return fmt.Errorf("rewrite %s: %w", key, err)
				}
				ops = append(ops, op)
			}
			e.changed.add(store.Txn{Ops: ops}) // for a compaction that is under way
			return c.end(e.history)
		})
	})
	if err != nil {
		return 0, translate(err)
	}
	return len(ops), nil
}
