package app

import (
	"context"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/qemu"
)

// sources are what the metrics ask when somebody looks at them.
func sources(st *store.Store, reconciler *push.Reconciler, drivers map[string]vm.Driver, guests *qemu.Driver) metrics.Sources {
	return metrics.Sources{
		Executors: (&census{store: st, state: reconciler.State}).count,
		Queue:     func() (int, time.Duration) { return reconciler.QueueDepth(), reconciler.QueueAge() },
		Revision:  st.Revision,
		Seen:      reconciler.FeedRevision,
		Calls:     callers(drivers),
		Guests:    guests.Guests,
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
	store *store.Store
	state func(*store.Executor) push.State

	mu     sync.Mutex
	counts map[string]int
	until  time.Time // counts will do
}

func (c *census) count(ctx context.Context) (map[string]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	if begun.Before(c.until) {
		return c.counts, nil
	}
	executors, _, err := c.store.Executors(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, s := range states {
		counts[string(s)] = 0
	}
	for _, e := range executors {
		counts[string(c.state(e))]++
	}
	ended := time.Now()
	c.counts, c.until = counts, ended.Add(censusShare*ended.Sub(begun))
	return counts, nil
}
