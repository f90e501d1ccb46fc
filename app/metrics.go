package app

import (
	"context"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/qemu"
)

// sources are what the metrics ask when somebody looks at them.
func sources(ctx context.Context, st *store.Store, engine store.Engine, reconciler *push.Reconciler, drivers map[string]vm.Driver, guests *qemu.Driver) metrics.Sources {
	return metrics.Sources{
		Executors: (&census{ctx: ctx, store: st, state: reconciler.State}).count,
		Queue:     func() (int, time.Duration) { return reconciler.QueueDepth(), reconciler.QueueAge() },
		Revision:  st.Revision,
		Seen:      reconciler.FeedRevision,
		Commits:   commits(engine),
		Calls:     callers(drivers),
		Guests:    guests.Guests,
	}
}

// commits are counted by the engine on disk alone.
func commits(engine store.Engine) func() (commits, transactions uint64) {
	e, ok := engine.(*bolt.Engine)
	if !ok {
		return nil
	}
	return func() (commits, transactions uint64) {
		s := e.Stats()
		return s.Commits, s.Transactions
	}
}

// observer counts what the reconciler does.
type observer struct{ *metrics.Metrics }

var _ push.Observer = observer{}

// Pushed implements push.Observer.
func (o observer) Pushed(result push.Result, took time.Duration, set, deleted int) {
	o.Metrics.Pushed(string(result), took, set, deleted)
}

// callers are the drivers that count their calls.
func callers(drivers map[string]vm.Driver) map[string]func() map[string]uint64 {
	counts := map[string]func() map[string]uint64{}
	for name, driver := range drivers {
		if d, ok := driver.(interface{ Calls() map[string]uint64 }); ok {
			counts[name] = d.Calls
		}
	}
	return counts
}

// states are all that an executor can be in: each is counted, if it is 0.
var states = []push.State{push.StateUnbound, push.StatePending, push.StateSynced, push.StateFailed}

// censusShare bounds the time that counting takes: one part in so many of all time. A small store is counted each
// time that somebody asks, one of ten thousand executors every few seconds.
const censusShare = 20

// census counts executors by state, which takes a look at each.
type census struct {
	ctx   context.Context // counting ends with it
	store *store.Store
	state func(*store.Executor) push.State

	mu     sync.Mutex
	counts map[string]int
	until  time.Time     // counts will do
	done   chan struct{} // closed when the count that is under way ends; nil when none is
	err    error         // of the last one
}

// censusPatience is how long somebody who asks waits for a new count when there is an older one.
const censusPatience = time.Second

// count gives a new count, or, where that takes long, the one before: the new one goes on, for who asks next.
func (c *census) count(ctx context.Context) (map[string]int, error) {
	if done, known := c.begin(); done != nil {
		var patience <-chan time.Time
		if known {
			patience = time.After(censusPatience)
		}
		select {
		case <-done:
		case <-patience:
		case <-ctx.Done():
			if !known {
				return nil, ctx.Err()
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts, c.err
}

// begin has a count made when it is time for one, and gives what is closed at its end; nil when it is not.
func (c *census) begin() (done <-chan struct{}, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil && !time.Now().Before(c.until) {
		c.done = make(chan struct{})
		go c.make()
	}
	return c.done, c.counts != nil
}

func (c *census) make() {
	begun := time.Now()
	counts := map[string]int{}
	for _, s := range states {
		counts[string(s)] = 0
	}
	_, err := c.store.Executors(c.ctx, func(e *store.Executor) { counts[string(c.state(e))]++ })
	ended := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = err; err == nil {
		c.counts, c.until = counts, ended.Add(censusShare*ended.Sub(begun))
	}
	close(c.done)
	c.done = nil
}
