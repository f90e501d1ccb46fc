// Package push makes VMs hold what the store says: for every bound executor it compares
// the key set that the store asks for with the one that the VM has, and makes one change.
//
// It is level-based. The store's feed says when to look again, and a sweep repairs what a hint
// missed; what to do follows from the two key sets alone, so a restart, a lost event or a
// failure half way need no special case. Package app runs it, package handlers asks it for status.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// Options are what a Reconciler works with. Zero durations and counts take the defaults named.
type Options struct {
	Store   *store.Store
	Drivers map[string]vm.Driver // by the name that bindings use
	Logger  *slog.Logger

	Observer Observer // for metrics; nil for nobody

	InFlight   int           // VMs worked on at once; 64
	Rate       float64       // changes of VMs a second, all together; 0 for no limit
	Resync     time.Duration // between two looks at a VM that nothing was heard of; 10m
	RetryMin   time.Duration // the first delay after a failure; 500ms
	RetryMax   time.Duration // the longest delay after failures; 30s
	ApplyLimit time.Duration // for a change that was begun, and its confirmation, a shutdown notwithstanding; 30s
	TornWait   time.Duration // how long what a guest wrote and does not parse is left alone: it may still be writing; 500ms
	GoneAfter  time.Duration // after which a VM that has to be cleaned, and is not there, is given up; 1h
}

func (o *Options) defaults() {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	setDefault(&o.InFlight, 64)
	setDefault(&o.Resync, 10*time.Minute)
	setDefault(&o.RetryMin, 500*time.Millisecond)
	setDefault(&o.RetryMax, 30*time.Second)
	setDefault(&o.ApplyLimit, 30*time.Second)
	setDefault(&o.TornWait, 500*time.Millisecond)
	setDefault(&o.GoneAfter, time.Hour)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Reconciler pushes. Make one with New, and Run it.
type Reconciler struct {
	Options
	queue   *queue
	table   *table
	gate    *gate
	notes   *notes
	outages map[string]*outage // by driver
	backoff backoff
	vmLock  keyedMutex    // by driver and instance: one VM is worked on by one worker
	heard   atomic.Uint64 // the revision that the feed has come to
	guests  guests
}

// New makes a Reconciler that does nothing until Run.
func New(o Options) *Reconciler {
	o.defaults()
	r := &Reconciler{Options: o, queue: newQueue(), table: newTable(), gate: newGate(o.Rate), outages: map[string]*outage{}}
	r.guests.turns = make(chan struct{}, guestReports)
	r.backoff = backoff{o.RetryMin, o.RetryMax, rand.Float64}
	r.notes = newNotes(func(ctx context.Context, e store.Event) error { return o.Store.Note(ctx, e) })
	for name := range o.Drivers {
		r.outages[name] = &outage{}
	}
	return r
}

// task is a unit of work: an executor to converge, or a VM to clean after an unbinding.
type task struct {
	executor string
	driver   string // with instance: a VM to clean
	instance string
}

func (t task) String() string {
	if t.executor != "" {
		return t.executor
	}
	return t.driver + "/" + t.instance
}

// Run works until ctx ends, then finishes the changes that are under way. It returns an error
// only when the store cannot be read any more.
func (r *Reconciler) Run(ctx context.Context) error {
	var telling, workers sync.WaitGroup
	tellCtx, told := context.WithCancel(context.WithoutCancel(ctx))
	telling.Go(func() {
		if err := r.notes.run(tellCtx); err != nil {
			r.Logger.Error("events could not be written", "error", err)
		}
	})
	defer telling.Wait()
	defer told()          // after the workers, who may have something to tell
	defer r.guests.stop() // and guests, too
	listenCtx, deaf := context.WithCancel(ctx)
	defer workers.Wait()
	defer r.queue.close() // first: lets the workers end
	defer deaf()
	for range r.InFlight {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Go(func() { r.sweep(listenCtx) })
	if r.gate != nil {
		workers.Go(func() { r.gate.run(listenCtx) })
	}
	for name, driver := range r.Drivers {
		workers.Go(func() { r.listen(listenCtx, name, driver) })
	}
	for {
		err := r.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrCompacted):
			// The feed went on without us. Look at everything again.
		default:
			return fmt.Errorf("follow the store: %w", err)
		}
	}
}

func (r *Reconciler) work(ctx context.Context) {
	for {
		j, ok := r.queue.next()
		if !ok {
			return
		}
		again, failed := r.attempt(ctx, j)
		r.queue.done(j.task, again, failed)
	}
}

// attempt does a task once and answers when to do it again: never, unless it failed or has to wait for a guest.
func (r *Reconciler) attempt(ctx context.Context, j job) (again time.Duration, failed bool) {
	if ctx.Err() != nil {
		return 0, false // stopping: the next start looks at everything
	}
	if !j.whole && r.undisturbed(ctx, j.task) {
		return 0, false
	}
	begun := time.Now()
	var done outcome
	var err error
	if j.executor != "" {
		done, err = r.converge(ctx, j)
	} else {
		done, err = r.clean(ctx, j)
	}
	switch {
	case err == nil:
		r.table.succeeded(j.task)
		if done.seen {
			r.Observer.Pushed(done.result(), time.Since(begun), done.set, done.deleted)
		}
		return done.again, false
	case ctx.Err() != nil:
		return 0, false
	}
	r.Observer.Pushed(ResultFailed, time.Since(begun), done.set, done.deleted)
	r.Observer.Retrying()
	attempts, delay := r.table.failed(j.task, err, r.backoff)
	level := slog.LevelWarn
	if errors.Is(err, errOutage) {
		level = slog.LevelDebug // it was told of once
	}
	r.Logger.Log(ctx, level, "push failed", "target", j.String(), "attempt", attempts, "retry", delay, "error", err)
	return delay, true
}

// Push converges an executor now and waits for the outcome, which is in the status: an error
// is one of asking (store.ErrNotFound, store.ErrUnbound, or ctx's), not of pushing.
func (r *Reconciler) Push(ctx context.Context, id string) (Status, error) {
	e, err := r.Store.Executor(ctx, id)
	if err != nil {
		return Status{}, err
	}
	if e.Binding == nil {
		return Status{}, fmt.Errorf("push %s: %w", id, store.ErrUnbound)
	}
	if d, ok := r.Drivers[e.Binding.Driver].(vm.Refresher); ok {
		// Who asks knows what was done to the VM until now. That the hypervisor is away shows in the status.
		if err := d.Refresh(ctx); err != nil && ctx.Err() != nil {
			return Status{}, fmt.Errorf("push %s: %w", id, err)
		}
	}
	if err := r.queue.wait(ctx, task{executor: id}, fromClient); err != nil {
		return Status{}, fmt.Errorf("push %s: %w", id, err)
	}
	return r.Status(ctx, id)
}
