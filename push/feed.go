package push

import (
	"context"
	"errors"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// follow queues all there is, and then what the feed names, until the feed ends.
func (r *Reconciler) follow(ctx context.Context) error {
	revision, err := r.enqueueAll(ctx)
	if err != nil {
		return err
	}
	r.heard.Store(revision)
	for e, err := range r.Store.Watch(ctx, revision) {
		if err != nil {
			return err
		}
		if err := r.enqueueEvent(ctx, e); err != nil {
			return err
		}
		r.heard.Store(e.Revision)
	}
	return store.ErrClosed
}

// FeedRevision gives the revision of the last commit that was heard of, and queued if it asks for work; 0 before Run.
func (r *Reconciler) FeedRevision() uint64 { return r.heard.Load() }

func (r *Reconciler) enqueueAll(ctx context.Context) (uint64, error) {
	revision, err := r.Store.Executors(ctx, func(e *store.Executor) {
		if e.Binding != nil {
			r.queue.add(task{executor: e.Config.ID}, fromRepair)
		}
	})
	if err != nil {
		return 0, err
	}
	return revision, errors.Join(r.enqueueUnbindings(ctx, r.Store.Unbindings, fromRepair), r.enqueueUnbindings(ctx, r.Store.CleanedUnbindings, fromRepair))
}

func (r *Reconciler) enqueueUnbindings(ctx context.Context, list func(context.Context) ([]store.Unbinding, error), c class) error {
	unbindings, err := list(ctx)
	if err != nil {
		return err
	}
	for _, u := range unbindings {
		r.queue.add(task{driver: u.Driver, instance: u.Instance}, c)
	}
	return nil
}

// enqueueEvent queues what a commit may have changed. What this package itself commits
// is already acted on by the worker that committed it.
func (r *Reconciler) enqueueEvent(ctx context.Context, e store.Event) error {
	switch e.Action {
	case store.ActionResolve, store.ActionOffer, store.ActionConfirm, store.ActionReport, store.ActionClean, store.ActionDeliver, store.ActionDrift, store.ActionPower:
		return nil
	}
	if e.Kind == store.KindNetwork {
		ids, err := r.Store.ExecutorsOn(ctx, e.ID)
		for _, id := range ids {
			r.queue.add(task{executor: id}, fromClient)
		}
		return err
	}
	r.queue.add(task{executor: e.ID}, fromClient)
	if e.Kind == store.KindVM || e.Action == store.ActionDelete {
		return r.enqueueUnbindings(ctx, r.Store.Unbindings, fromClient)
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

// listen queues the VMs that a driver says may have changed, until ctx ends.
func (r *Reconciler) listen(ctx context.Context, name string, driver vm.Driver) {
	hint := func(instance string) {
		if t, ok := r.table.taskOf(name, instance); ok {
			r.queue.add(t, fromHint)
		}
	}
	for attempts := 0; ; attempts++ {
		begun := time.Now()
		err := driver.Watch(ctx, hint)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > r.RetryMax {
			attempts = 0
		}
		r.Logger.Warn("a driver gives no hints", "driver", name, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.backoff.after(attempts)):
		}
	}
}

// undisturbed reports whether the VM of a task is exactly as it was when it was last seen in order: most hints tell of what we did.
func (r *Reconciler) undisturbed(ctx context.Context, t task) bool {
	row := r.table.get(t)
	driver, was := r.Drivers[row.driver], row.inOrder
	if driver == nil || was == nil || was.state.Version == "" || row.behind || row.LastError != "" || len(row.torn) > 0 {
		return false
	}
	state, err := driver.Observe(ctx, row.instance)
	return err == nil && state.Version == was.state.Version && state.Epoch == was.state.Epoch && state.Power == was.state.Power &&
		state.Booting == was.state.Booting && equal(state.Keys, was.state.Keys) // the version may be known before the keys are
}
