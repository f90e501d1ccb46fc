package vsphere

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// A feed that ended is opened again after a delay that doubles from the one to the other. A
	// caller that needs it does not wait for that.
	reopenMin = 500 * time.Millisecond
	reopenMax = 30 * time.Second
	// settled is how long a feed must have lasted for the next delay to be the first again.
	settled = 10 * time.Second
)

// follower keeps a mirror of the VMs that callers asked about. One feed at a time fills it; when
// that ends, another is opened. Its goroutine runs from the first call until Close.
type follower struct {
	mu       sync.Mutex
	vms      map[string]*entry // by instance
	watchers map[*watcher]struct{}

	feed     *feed // the one that runs, or nil
	idle     bool  // there is none, and opening one is delayed
	failures int   // attempts to open one that failed
	err      error // of the last of them
	turn     chan struct{}
	kick     chan struct{} // ends a delay

	stop    context.CancelFunc // nil before the first call
	stopped chan struct{}
	closed  bool
}

func newFollower() *follower {
	return &follower{
		vms:      make(map[string]*entry),
		watchers: make(map[*watcher]struct{}),
		turn:     make(chan struct{}),
		kick:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
}

// start starts the goroutine, which does not end with the call that did. The mutex is held.
func (d *Driver) start(ctx context.Context) {
	f := d.follower
	if f.stop == nil && !f.closed {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f.stop = cancel
		go d.follow(ctx)
	}
}

// live gives the feed that runs, or waits for an attempt to open one that began after live did.
func (d *Driver) live(ctx context.Context) (*feed, error) {
	f := d.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	d.start(ctx)
	enough := f.failures + 1
	if !f.idle {
		enough++ // the attempt under way may have begun before vSphere came back
	}
	for {
		switch {
		case f.closed:
			return nil, unavailable("the vSphere driver is closed")
		case f.feed != nil:
			return f.feed, nil
		case f.failures >= enough:
			return nil, f.err
		case f.idle:
			f.idle = false
			f.kick <- struct{}{}
		}
		turn := f.turn
		f.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// follow opens feeds and runs them until ctx ends.
func (d *Driver) follow(ctx context.Context) {
	f := d.follower
	defer close(f.stopped)
	for delay := time.Duration(0); ; {
		begun := d.now()
		err := d.feedOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if !fault.Is(err, &types.NotAuthenticated{}) { // an ended session is no outage
			d.note(ctx, d.explain(ctx, err))
		}
		if d.now().Sub(begun) >= settled {
			delay = 0
		}
		if !f.rest(ctx, delay) {
			return
		}
		delay = min(max(2*delay, reopenMin), reopenMax)
	}
}

// rest waits, give or take a fifth, unless a caller cannot. It reports false when ctx ended.
func (f *follower) rest(ctx context.Context, delay time.Duration) bool {
	if delay > 0 {
		delay += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(delay)) //nolint:gosec // not a secret
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	f.mu.Lock()
	f.idle = true
	f.wake()
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return false
	case <-f.kick:
	case <-timer.C:
		f.mu.Lock()
		if !f.idle {
			<-f.kick // a caller was quicker
		}
		f.idle = false
		f.mu.Unlock()
	}
	return true
}

// wake tells those who wait in live that something happened. The mutex is held.
func (f *follower) wake() {
	close(f.turn)
	f.turn = make(chan struct{})
}

// feedOnce opens a feed and runs it to its end.
func (d *Driver) feedOnce(ctx context.Context) error {
	s, err := d.connected(ctx)
	if err != nil {
		d.follower.failed(err)
		return err
	}
	f, err := d.openFeed(ctx, s)
	if err == nil {
		d.note(ctx, nil)
		err = f.run()
		f.discard(ctx)
	} else {
		d.follower.failed(err)
	}
	if fault.Is(err, &types.NotAuthenticated{}) {
		d.drop(s)
	}
	return err
}

func (f *follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures++
	f.err = err
	f.wake()
}

// shut ends the goroutine.
func (f *follower) shut() {
	f.mu.Lock()
	f.closed = true
	stop := f.stop
	f.wake()
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-f.stopped
	}
}

// watcher is a Watch under way. Hints wait here for it, each instance once, so that a slow one
// delays nobody else.
type watcher struct {
	wake  chan struct{}
	hints map[string]struct{}
}

// Watch implements vm.Driver.
func (d *Driver) Watch(ctx context.Context, hint func(instance string)) error {
	f := d.follower
	w := &watcher{wake: make(chan struct{}, 1), hints: make(map[string]struct{})}
	f.mu.Lock()
	d.start(ctx)
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		f.mu.Lock()
		hints := w.hints
		w.hints = make(map[string]struct{})
		f.mu.Unlock()
		for instance := range hints {
			if ctx.Err() != nil {
				break
			}
			hint(instance)
		}
	}
}

// hint tells those who watch that a VM may have changed. The mutex is held.
func (f *follower) hint(instance string) {
	for w := range f.watchers {
		w.hints[instance] = struct{}{}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
