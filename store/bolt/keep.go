package bolt

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

const (
	keepEvery   = time.Minute      // how often the engine looks after the file
	keepRetry   = 15 * time.Minute // how long it waits after a compaction that failed
	keepCommits = 1000             // that one transaction drops when nobody writes
)

// keep looks after the file until the engine is closed: what the history need not have goes when no commits come, and the
// file is compacted once most of it is free.
func (e *Engine) keep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e.background.Go(func() { // ends a compaction
		<-e.closed
		cancel()
	})
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	var failed time.Time
	for {
		select {
		case <-e.closed:
			return
		case <-ticker.C:
		}
		if err := e.trimIdle(ctx); err != nil && !errors.Is(err, store.ErrClosed) {
			e.logger.Error("the history cannot be shortened", "error", err)
		}
		if time.Since(failed) < keepRetry || !e.wasteful() {
			continue
		}
		before := e.Stats()
		switch err := e.compact(ctx); {
		case err == nil:
			e.logger.Info("the store was compacted", "before", before.Size, "after", e.Stats().Size)
		case ctx.Err() == nil:
			failed = time.Now()
			e.logger.Warn("the store was not compacted", "error", err, "retry", keepRetry)
		}
	}
}

// wasteful reports whether the file is large and most of it free.
func (e *Engine) wasteful() bool {
	s := e.Stats()
	return s.Size >= e.compactAt && s.Free > s.Size/2
}

// trimIdle drops what the history need not have, in steps between which others can write.
func (e *Engine) trimIdle(ctx context.Context) error {
	for ctx.Err() == nil {
		dropped, err := e.trimOnce()
		if err != nil || !dropped {
			return err
		}
	}
	return nil
}

func (e *Engine) trimOnce() (dropped bool, err error) {
	if !e.tooLong() {
		return false, nil
	}
	err = e.write(func() error {
		return e.update(func(tx *bbolt.Tx) error {
			c, err := begin(tx, time.Now())
			if err == nil {
				dropped, err = c.trim(e.history, keepCommits, 0)
			}
			return err
		})
	})
	return dropped, err
}

// tooLong looks at the log without a transaction that writes.
func (e *Engine) tooLong() (long bool) {
	_ = e.view(func(tx *bbolt.Tx) error { // what is wrong with it others will say
		s, err := stateOf(tx)
		if err != nil {
			return err
		}
		oldest, err := decodeEntry(tx.Bucket(logBucket).Cursor().First())
		if err == nil {
			long = e.history.Exceeds(s.revision-oldest.revision+1, s.total-oldest.total+entrySize(oldest.event), time.Since(oldest.time))
		}
		return err
	})
	return long
}
