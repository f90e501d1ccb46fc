package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// waited is how a wait ended.
type waited struct {
	e   *store.Executor
	err error
}

// wait waits for an executor to be other than it is now. It has begun when wait returns.
func (f *fixture) wait(ctx context.Context, id string, done <-chan struct{}) <-chan waited {
	at, looked, ended := f.get(id).Revision, make(chan struct{}, 100), make(chan waited, 1)
	go func() {
		e, err := f.WaitExecutor(ctx, id, func(e *store.Executor) bool { looked <- struct{}{}; return e.Revision > at }, done)
		ended <- waited{e, err}
	}()
	<-looked
	<-looked // the second look comes after the subscription
	return ended
}

func TestWaitExecutor(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.plain("a", "b", "c")
	f.put("a", func(c *executor.ExecutorConfig) {
		c.Networks = map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "net"}}
	})

	w := f.wait(t.Context(), "a", nil)
	f.plain("d")
	f.note(store.KindVM, "a")
	f.put("b", func(c *executor.ExecutorConfig) { c.Hostname = "b" })
	f.put("a", func(c *executor.ExecutorConfig) { c.Hostname = "a" })
	if got := <-w; got.err != nil || got.e.Config.Hostname != "a" || got.e.Revision != f.revision() {
		t.Errorf("a change: %+v", got)
	}

	w = f.wait(t.Context(), "a", nil)
	_, err := f.UpdateNetwork(t.Context(), "net", func(n *store.Network) error { n.Config.Notes = "x"; return nil })
	f.must(err)
	if got := <-w; got.err != nil || got.e.Revision != f.revision() {
		t.Errorf("a change of its network: %+v", got)
	}

	done := make(chan struct{})
	w = f.wait(t.Context(), "c", done)
	f.plain("e")
	close(done)
	if got := <-w; got.err != nil || got.e.Config.ID != "c" {
		t.Errorf("nothing: %+v", got)
	}

	ctx, cancel := context.WithCancel(t.Context())
	w = f.wait(ctx, "c", nil)
	cancel()
	if got := <-w; !errors.Is(got.err, context.Canceled) {
		t.Errorf("a wait that was given up: %+v", got)
	}

	w = f.wait(t.Context(), "c", nil)
	f.must(f.DeleteExecutor(t.Context(), "c"))
	f.plain("c") // another one
	if got := <-w; !errors.Is(got.err, store.ErrNotFound) {
		t.Errorf("a deletion: %+v", got)
	}
	if _, err := f.WaitExecutor(t.Context(), "none", nil, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestWaitersAreNotAsked: a commit is read by those that wait for its executor, and by nobody else.
func TestWaitersAreNotAsked(t *testing.T) {
	const waiters, commits = 100, 50
	f := open(t)
	f.plain("busy")
	var ends []<-chan waited
	for i := range waiters {
		id := fmt.Sprintf("e%d", i)
		f.plain(id)
		ends = append(ends, f.wait(t.Context(), id, nil))
	}
	before := f.views.Load()
	for i := range commits {
		f.put("busy", func(c *executor.ExecutorConfig) { c.Hostname = fmt.Sprint("h", i) })
	}
	written := f.views.Load() - before
	for i, end := range ends {
		f.put(fmt.Sprintf("e%d", i), func(c *executor.ExecutorConfig) { c.Hostname = "x" })
		if got := <-end; got.err != nil || got.e.Config.Hostname != "x" {
			t.Errorf("waiter %d: %+v", i, got)
		}
	}
	// Beyond what the writes themselves read, each waiter looked once.
	if views, most := f.views.Load()-before, written+waiters*(written/commits+1); views != most || written > 3*commits {
		t.Errorf("%d reads, %d of them by %d writes, want %d", views, written, commits, most)
	}
}
