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
	"sync"
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
	Resync     time.Duration // between two looks at a VM that nothing was heard of; 10m
	RetryMin   time.Duration // the first delay after a failure; 500ms
	RetryMax   time.Duration // the longest delay after failures; 30s
	ApplyLimit time.Duration // for a change that was begun, and its confirmation, a shutdown notwithstanding; 30s
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
	queue  *queue
	table  *table
	vmLock keyedMutex // by driver and instance: one VM is worked on by one worker
}

// New makes a Reconciler that does nothing until Run.
func New(o Options) *Reconciler {
	o.defaults()
	return &Reconciler{Options: o, queue: newQueue(), table: newTable()}
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
	var workers sync.WaitGroup
	defer workers.Wait()
	defer r.queue.close() // first: lets the workers end
	for range r.InFlight {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Go(func() { r.sweep(ctx) })
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

// follow queues all there is, and then what the feed names, until the feed ends.
func (r *Reconciler) follow(ctx context.Context) error {
	revision, err := r.enqueueAll(ctx)
	if err != nil {
		return err
	}
	for e, err := range r.Store.Watch(ctx, revision) {
		if err != nil {
			return err
		}
		if err := r.enqueueEvent(ctx, e); err != nil {
			return err
		}
	}
	return store.ErrClosed
}

func (r *Reconciler) enqueueAll(ctx context.Context) (uint64, error) {
	executors, revision, err := r.Store.Executors(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range executors {
		if e.Binding != nil {
			r.queue.add(task{executor: e.Config.ID})
		}
	}
	return revision, r.enqueueUnbindings(ctx)
}

func (r *Reconciler) enqueueUnbindings(ctx context.Context) error {
	unbindings, err := r.Store.Unbindings(ctx)
	if err != nil {
		return err
	}
	for _, u := range unbindings {
		r.queue.add(task{driver: u.Driver, instance: u.Instance})
	}
	return nil
}

// enqueueEvent queues what a commit may have changed. What this package itself commits
// (resolve, confirm, report, clean) is already acted on by the worker that committed it.
func (r *Reconciler) enqueueEvent(ctx context.Context, e store.Event) error {
	switch e.Action {
	case store.ActionResolve, store.ActionConfirm, store.ActionReport, store.ActionClean:
		return nil
	}
	if e.Kind == store.KindNetwork {
		ids, err := r.Store.ExecutorsOn(ctx, e.ID)
		for _, id := range ids {
			r.queue.add(task{executor: id})
		}
		return err
	}
	r.queue.add(task{executor: e.ID})
	if e.Kind == store.KindVM || e.Action == store.ActionDelete {
		return r.enqueueUnbindings(ctx)
	}
	return nil
}

// sweep looks at every VM now and then: hints can be lost, and VMs change behind our back.
func (r *Reconciler) sweep(ctx context.Context) {
	tick := time.NewTicker(r.Resync)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := r.enqueueAll(ctx); err != nil && ctx.Err() == nil {
				r.Logger.Error("sweep could not read the store", "error", err)
			}
		}
	}
}

func (r *Reconciler) work(ctx context.Context) {
	for {
		t, ok := r.queue.next()
		if !ok {
			return
		}
		r.queue.done(t, r.attempt(ctx, t))
	}
}

// attempt does a task once and answers when to do it again: never, unless it failed.
func (r *Reconciler) attempt(ctx context.Context, t task) (again time.Duration) {
	if ctx.Err() != nil {
		return 0 // stopping: the next start looks at everything
	}
	var err error
	if t.executor != "" {
		err = r.converge(ctx, t.executor)
	} else {
		err = r.clean(ctx, t.driver, t.instance)
	}
	switch {
	case err == nil:
		r.table.succeeded(t)
		return 0
	case ctx.Err() != nil:
		return 0
	}
	attempts, delay := r.table.failed(t, err, r.RetryMin, r.RetryMax)
	r.Logger.Warn("push failed", "target", t.String(), "attempt", attempts, "retry", delay, "error", err)
	return delay
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
	if err := r.queue.wait(ctx, task{executor: id}); err != nil {
		return Status{}, fmt.Errorf("push %s: %w", id, err)
	}
	return r.Status(ctx, id)
}
