package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

func opened(t testing.TB, dir string, options ...Option) *Engine {
	t.Helper()
	e, err := Open(dir, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func put(key, value string) store.Txn {
	return store.Txn{Ops: []store.Op{{Key: key, Value: []byte(value)}}, Event: []byte(key + "=" + value)}
}

// outcome is what a writer was answered.
type outcome struct {
	revision uint64
	err      error
}

// together has transactions wait in their order while nobody can write, and then lets them be one group.
func together(t *testing.T, e *Engine, writes ...func() (context.Context, store.Txn)) []outcome {
	t.Helper()
	outcomes := make([]outcome, len(writes))
	e.turn <- struct{}{}
	var all sync.WaitGroup
	for i, w := range writes {
		ctx, txn := w()
		all.Go(func() { outcomes[i].revision, outcomes[i].err = e.Commit(ctx, txn) })
		for e.queue.length() <= i {
			runtime.Gosched()
		}
	}
	before := e.counts.transactions.Load()
	<-e.turn
	all.Wait()
	if n := e.counts.transactions.Load() - before; n != 1 {
		t.Errorf("the group took %d transactions of bbolt", n)
	}
	return outcomes
}

func plain(ctx context.Context, txn store.Txn) func() (context.Context, store.Txn) {
	return func() (context.Context, store.Txn) { return ctx, txn }
}

// TestAGroup: writers that wait for the same turn are committed together, in their order; each compare sees the writes before it,
// and what happens to one is its own.
func TestAGroup(t *testing.T) {
	e := opened(t, t.TempDir())
	e.apply = func(c *change, txn store.Txn) error {
		if err := c.commit(txn); err != nil {
			return err
		}
		switch string(txn.Event) {
		case "b=panic":
			panic("at the disco")
		case "c=fails":
			return errors.New("fails half way")
		}
		return nil
	}
	ctx := t.Context()
	ended, cancel := context.WithCancel(ctx)
	with := func(txn store.Txn, compare ...store.Compare) store.Txn {
		txn.Compare = compare
		return txn
	}
	got := together(t, e,
		plain(ctx, put("a", "1")),
		plain(ctx, with(put("a", "2"), store.Compare{Key: "a", Revision: 1})), // sees the one before it
		plain(ctx, with(put("a", "3"), store.Compare{Key: "a", Revision: 1})),
		plain(ctx, put("b", "panic")),
		plain(ctx, put("c", "fails")),
		plain(ctx, with(put("d", "1"), store.Compare{Key: "b"}, store.Compare{Key: "c"})), // they left nothing behind
		plain(ctx, put("a", "4")),
	)
	for i, want := range []string{"1", "2", "based on has changed", "at the disco", "fails half way", "3", "4"} {
		text := fmt.Sprint(got[i].revision)
		if got[i].err != nil {
			text = got[i].err.Error()
		}
		if !strings.Contains(text, want) || got[i].err != nil && got[i].revision != 0 {
			t.Errorf("write %d: %d %v, want %s", i, got[i].revision, got[i].err, want)
		}
	}

	// One that gives up while it waits is gone from the queue, and answered at once.
	e.turn <- struct{}{}
	answer := make(chan outcome)
	go func() {
		revision, err := e.Commit(ended, put("e", "1"))
		answer <- outcome{revision, err}
	}()
	for e.queue.length() == 0 {
		runtime.Gosched()
	}
	cancel()
	if o := <-answer; !errors.Is(o.err, context.Canceled) || o.revision != 0 || e.queue.length() != 0 {
		t.Errorf("one that gave up: %+v, and %d wait", o, e.queue.length())
	}
	<-e.turn
	if err := e.View(ctx, func(s store.Snapshot) error {
		var all []string
		for kv, err := range s.Range("") {
			if err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s=%s@%d", kv.Key, kv.Value, kv.Revision))
		}
		if want := "[a=4@4 d=1@3]"; fmt.Sprint(all) != want || s.Revision() != 4 {
			t.Errorf("at %d there is %v, want %s", s.Revision(), all, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
}

// TestAlone: a writer that is alone has a transaction to itself, at once.
func TestAlone(t *testing.T) {
	e := opened(t, t.TempDir())
	for range 10 {
		if _, err := e.Commit(t.Context(), put("a", "1")); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.Commits != 10 || s.Transactions != 10 {
		t.Errorf("%+v", s)
	}
}

// TestSyncsAreShared: with 64 writers there is at most one sync for 8 commits. bbolt syncs twice a transaction.
func TestSyncsAreShared(t *testing.T) {
	const writers, each = 64, 20
	e := opened(t, t.TempDir())
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := e.Commit(context.WithoutCancel(t.Context()), put(fmt.Sprint(w), fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := e.Stats()
	if s.Commits != writers*each || 8*2*s.Transactions > s.Commits {
		t.Errorf("%d commits took %d transactions, each of two syncs", s.Commits, s.Transactions)
	}
}

// TestAGroupIsBounded: however much waits, one transaction does not take it all.
func TestAGroupIsBounded(t *testing.T) {
	var q queue
	large := store.Txn{Event: make([]byte, groupBytes/4)}
	for range 10 {
		q.add(&write{txn: large})
	}
	q.add(&write{txn: store.Txn{Event: make([]byte, 2*groupBytes)}})
	for _, want := range []int{4, 4, 2, 1} {
		if got := len(q.take()); got != want {
			t.Errorf("a group of %d, want %d", got, want)
		}
	}
}
