package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// restAfter is how long a VM that was cleaned while it ran has to be off, and clean, to be believed: its hypervisor need not show at
// once what a power-off brings back.
const restAfter = 10 * time.Second

// clean removes our keys from a VM that was unbound. One that is not there may have been unregistered for a while: it is looked for
// at leisure, and given up in the end.
func (r *Reconciler) clean(ctx context.Context, j job) (done outcome, err error) {
	driver, err := r.driver(j.driver)
	if err != nil {
		return done, err
	}
	defer r.vmLock.lock(j.driver + "/" + j.instance)()
	err = r.asking(j.driver, j.class, func() error {
		u, err := r.Store.Unbinding(ctx, j.driver, j.instance)
		if err != nil || u == nil {
			r.table.forget(j.task)
			return err
		}
		state, deleted, err := r.empty(ctx, driver, j.class, u)
		done.applied, done.deleted = deleted > 0, deleted
		switch {
		case errors.Is(err, vm.ErrNotFound) && u.Clean: // most are removed soon after they were let go
			return r.cleaned(ctx, u)
		case err != nil:
			return err
		}
		done.seen = true
		done.again, err = r.keepClean(ctx, j.task, u, state)
		return err
	})
	if !errors.Is(err, vm.ErrNotFound) {
		return done, err
	}
	now := time.Now()
	if now.Sub(r.table.missing(j.task, now)) < r.GoneAfter {
		return done, err
	}
	r.Logger.Warn("a VM that had to be cleaned is gone", "driver", j.driver, "instance", j.instance)
	return done, r.cleaned(ctx, &store.Unbinding{Driver: j.driver, Instance: j.instance})
}

// keepClean is for a VM that holds no key of ours now. While it runs that is not the end of it: a power-off may bring back what it held
// when it was switched on. So it is watched until it is off.
func (r *Reconciler) keepClean(ctx context.Context, key task, u *store.Unbinding, state vm.State) (again time.Duration, err error) {
	off, now := state.Power == vm.PowerOff, time.Now()
	if off && !u.Clean {
		return 0, r.cleaned(ctx, u)
	}
	r.table.claim(key, u.Driver, u.Instance) // for hints
	since := r.table.rests(key, off, now)
	switch rest := restAfter - now.Sub(since); {
	case !off:
		return 0, r.Store.SeenClean(ctx, u.Driver, u.Instance)
	case rest > 0:
		return rest, nil
	}
	return 0, r.cleaned(ctx, u)
}

func (r *Reconciler) cleaned(ctx context.Context, u *store.Unbinding) error {
	r.table.forget(task{driver: u.Driver, instance: u.Instance})
	return r.Store.Cleaned(ctx, u.Driver, u.Instance)
}

// cleanLeftover removes what an earlier binding left in a VM that has another one now, which sees to what comes back.
func (r *Reconciler) cleanLeftover(ctx context.Context, driver vm.Driver, c class, name, instance string) error {
	u, err := r.Store.Unbinding(ctx, name, instance)
	if err != nil || u == nil {
		return err
	}
	if _, _, err := r.empty(ctx, driver, c, u); err != nil {
		return err
	}
	return r.cleaned(ctx, u)
}

// empty deletes every key of ours from a VM, looks whether they are gone, and answers how the VM was then, and how many they were. One
// that is served by a vm.Host has nothing once it is let go.
func (r *Reconciler) empty(ctx context.Context, driver vm.Driver, c class, u *store.Unbinding) (state vm.State, deleted int, err error) {
	if host, ok := driver.(vm.Host); ok {
		state.Power = vm.PowerOff
		err = host.Detach(ctx, u.Instance)
	} else {
		state, deleted, err = r.emptyKeys(ctx, driver, c, u.Instance)
	}
	if err != nil {
		err = fmt.Errorf("clean the VM of executor %s: %w", u.Executor, err)
	}
	return state, deleted, err
}

func (r *Reconciler) emptyKeys(ctx context.Context, driver vm.Driver, c class, instance string) (state vm.State, deleted int, err error) {
	for range maxRounds {
		state, err = driver.Observe(ctx, instance)
		if err != nil {
			return state, deleted, err
		}
		observed := r.Store.Codec().Parse(state.Keys)
		delta := extraconfig.Diff(observed, extraconfig.KeySet{})
		if delta.Empty() {
			return state, deleted, nil
		}
		if err := r.gate.wait(ctx, c); err != nil {
			return state, deleted, err
		}
		err = r.apply(ctx, driver, instance, vm.Change{Delete: delta.Delete, Version: state.Version, Forget: forgets(state, observed, delta)})
		switch {
		case err == nil:
			deleted += len(delta.Delete)
		case !errors.Is(err, vm.ErrConflict):
			return state, deleted, err
		}
	}
	return state, deleted, errUnsettled
}
