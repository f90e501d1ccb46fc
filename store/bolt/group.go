package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// groupBytes is about how much one transaction of bbolt takes along. One that is larger goes alone.
const groupBytes = 8 << 20

// write is a transaction that waits to be committed.
type write struct {
	ctx      context.Context
	txn      store.Txn
	done     chan struct{} // closed when the rest stands
	revision uint64
	err      error
}

// queue are the writes that wait, in their order.
type queue struct {
	mu      sync.Mutex
	list    []*write
	wanted  int           // of them
	reached chan struct{} // closed when there are so many; nil when nobody waits for that
}

func (q *queue) add(w *write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, w)
	if q.reached != nil && len(q.list) >= q.wanted {
		close(q.reached)
		q.reached = nil
	}
}

// await gives what is closed when so many wait; nil when they do already.
func (q *queue) await(n int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wanted, q.reached = n, nil
	if len(q.list) < n {
		q.reached = make(chan struct{})
	}
	return q.reached
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// take removes those that make the next group.
func (q *queue) take() []*write {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for ; n < len(q.list) && (n == 0 || size+q.list[n].txn.Size() <= groupBytes); n++ {
		size += q.list[n].txn.Size()
	}
	group := q.list[:n:n]
	if q.list = q.list[n:]; len(q.list) == 0 {
		q.list = nil
	}
	return group
}

// withdraw removes one that was not taken yet.
func (q *queue) withdraw(w *write) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.list {
		if q.list[i] == w {
			q.list = append(q.list[:i:i], q.list[i+1:]...)
			return true
		}
	}
	return false
}

// Commit implements store.Engine. Whoever finds nobody writing writes at once, for all that wait: those that come meanwhile wait
// for the next turn together, and share its syncs.
func (e *Engine) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if err := firstOf(ctx.Err(), t.Check()); err != nil {
		return 0, err
	}
	w := &write{ctx: ctx, txn: t, done: make(chan struct{})}
	e.queue.add(w)
	select {
	case <-w.done:
	case <-ctx.Done():
		if e.queue.withdraw(w) {
			return 0, ctx.Err()
		}
		<-w.done
	case e.turn <- struct{}{}:
		for !w.settled() {
			e.gather()
			e.flush(e.queue.take())
		}
		<-e.turn
	}
	return w.revision, w.err
}

func (w *write) settled() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// patience is the longest that a group waits for others.
const patience = 10 * time.Millisecond

// gather lets those who are about to commit get into the queue. It gives way to those who can run now. Then, if the groups before had several,
// it expects about as many again, for half as long as the last one took: where the processor is slower than the disk they would be late by little,
// and each pay for syncs of their own. Who is alone is followed by a group of one, and waits for nobody.
func (e *Engine) gather() {
	for n := 0; n < e.queue.length(); {
		n = e.queue.length()
		runtime.Gosched()
	}
	if e.last.writes < 2 {
		return
	}
	if reached := e.queue.await(e.last.writes); reached != nil {
		limit := time.NewTimer(min(e.last.took/2, patience))
		defer limit.Stop()
		select {
		case <-reached:
		case <-limit.C:
		}
	}
}

// flush settles the writes of a group.
func (e *Engine) flush(group []*write) {
	defer func(begun time.Time) {
		e.last.writes, e.last.took = max(len(group), e.last.writes*3/4), time.Since(begun)
	}(time.Now())
	begun := e.counts.commits.Load()
	for left := group; len(left) > 0; {
		failed, err := e.commitGroup(left)
		switch {
		case failed != nil: // the others begin anew without it
			left = without(left, failed)
			continue
		case noSpace(err) && len(left) > 1: // there may be room for some of them
			for _, w := range left {
				if _, err := e.commitGroup([]*write{w}); err != nil {
					e.fail([]*write{w}, err)
				}
			}
		case err != nil:
			e.fail(left, err)
		}
		break
	}
	for _, w := range group {
		close(w.done)
	}
	if e.counts.commits.Load() > begun {
		e.announce()
	}
}

// fail settles writes that were to be committed, and were not.
func (e *Engine) fail(group []*write, err error) {
	for _, w := range group {
		if w.err == nil {
			w.revision, w.err = 0, translate(err)
		}
	}
	if translated := translate(err); !errors.Is(translated, store.ErrClosed) {
		e.logger.Error("a commit failed", "writes", len(group), "error", err)
	}
}

// errNothing rolls a transaction back that has nothing to commit.
var errNothing = errors.New("nothing to commit")

// commitGroup makes one transaction of bbolt of a group. A write whose compares fail, or whose context has ended, has that as its error and
// changes nothing. One that fails while it is applied spoils the transaction: nothing is committed, and it is answered for the others to be made without it.
func (e *Engine) commitGroup(group []*write) (failed *write, err error) {
	if e.broken != nil {
		return nil, e.broken
	}
	var applied []*write
	err = e.update(func(tx *bbolt.Tx) error {
		c, err := begin(tx, time.Now())
		if err != nil {
			return err
		}
		for _, w := range group {
			w.revision, w.err = 0, nil
			switch {
			case w.ctx.Err() != nil:
				w.err = w.ctx.Err()
			case !c.allHold(w.txn.Compare):
				w.err = store.ErrConflict
			default:
				if err := e.guarded(c, w.txn); err != nil {
					failed, w.err = w, err
					return err
				}
				w.revision = c.state.revision
				applied = append(applied, w)
			}
		}
		if len(applied) == 0 {
			return errNothing
		}
		return c.end(e.history)
	})
	if failed != nil {
		return failed, nil
	}
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	for _, w := range applied { // when it failed, too: that a commit failed need not mean that it is not there
		e.changed.add(w.txn)
	}
	if err == nil {
		e.counts.commits.Add(uint64(len(applied)))
	}
	return nil, err
}

// guarded applies one transaction. What it panics with is its own error.
func (e *Engine) guarded(c *change, t store.Txn) (err error) {
	defer recovered(&err)
	return e.apply(c, t)
}

// update is a transaction of bbolt.
func (e *Engine) update(fn func(*bbolt.Tx) error) (err error) {
	defer recovered(&err)
	err = e.db.Load().Update(fn)
	if err == nil {
		e.counts.transactions.Add(1)
	}
	return err
}

// recovered makes an error of a panic: whoever writes does so for others, who wait for it.
func recovered(err *error) {
	if v := recover(); v != nil {
		stack := make([]byte, 4<<10)
		*err = fmt.Errorf("commit: panic: %v\n%s", v, stack[:runtime.Stack(stack, false)])
	}
}

func without(group []*write, one *write) []*write {
	rest := make([]*write, 0, len(group)-1)
	for _, w := range group {
		if w != one {
			rest = append(rest, w)
		}
	}
	return rest
}

func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
