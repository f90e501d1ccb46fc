package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// clean removes our keys from a VM that was unbound. One that is not there may have been unregistered for a while: it is looked for
// at leisure, and given up in the end.
func (r *Reconciler) clean(ctx context.Context, j job) (again time.Duration, err error) {
	driver, err := r.driver(j.driver)
	if err != nil {
		return 0, err
	}
	defer r.vmLock.lock(j.driver + "/" + j.instance)()
	err = r.asking(j.driver, j.class, func() error { return r.cleanLeftover(ctx, driver, j.class, j.driver, j.instance) })
	if !errors.Is(err, vm.ErrNotFound) {
		return 0, err
	}
	now := time.Now()
	if now.Sub(r.table.missing(j.task, now)) < r.GoneAfter {
		return 0, err
	}
	r.Logger.Warn("a VM that had to be cleaned is gone", "driver", j.driver, "instance", j.instance)
	return 0, r.Store.Cleaned(ctx, j.driver, j.instance)
}

// cleanLeftover removes what an earlier binding left in a VM, if it has not been seen clean yet.
func (r *Reconciler) cleanLeftover(ctx context.Context, driver vm.Driver, c class, name, instance string) error {
	u, err := r.Store.Unbinding(ctx, name, instance)
	if err != nil || u == nil {
		return err
	}
	empty := r.empty
	if host, ok := driver.(vm.Host); ok {
		empty = func(ctx context.Context, _ vm.Driver, _ class, instance string) error {
			return host.Detach(ctx, instance)
		}
	}
	if err := empty(ctx, driver, c, instance); err != nil {
		return fmt.Errorf("clean the VM of executor %s: %w", u.Executor, err)
	}
	return r.Store.Cleaned(ctx, u.Driver, u.Instance)
}

// empty deletes every key of ours from a VM, and looks whether they are gone.
func (r *Reconciler) empty(ctx context.Context, driver vm.Driver, c class, instance string) error {
	for range maxRounds {
		state, err := driver.Observe(ctx, instance)
		if err != nil {
			return err
		}
		observed := r.Store.Codec().Parse(state.Keys)
		delta := extraconfig.Diff(observed, extraconfig.KeySet{})
		if delta.Empty() {
			return nil
		}
		if err := r.gate.wait(ctx, c); err != nil {
			return err
		}
		err = r.apply(ctx, driver, instance, vm.Change{Delete: delta.Delete, Version: state.Version, Forget: forgets(state, observed, delta)})
		if err != nil && !errors.Is(err, vm.ErrConflict) {
			return err
		}
	}
	return errUnsettled
}
