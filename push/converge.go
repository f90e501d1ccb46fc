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

// maxRounds bounds how often one attempt observes and changes a VM before it gives way to
// others: the VM keeps changing under our hands, and the retry comes with a delay.
const maxRounds = 5

// errUnsettled is what remains when maxRounds are used up.
var errUnsettled = errors.New("the VM keeps changing while it is written to")

// converge makes the VM of one executor hold what the store says. It ends well only when the VM
// was seen to hold it, or when there is nothing to do.
func (r *Reconciler) converge(ctx context.Context, id string) error {
	key := task{executor: id}
	e, err := r.Store.Executor(ctx, id)
	if errors.Is(err, store.ErrNotFound) || (err == nil && e.Binding == nil) {
		r.table.forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	driver, err := r.driver(e.Binding.Driver)
	if err != nil {
		return err
	}
	if e.Binding.Instance == "" {
		r.table.update(key, func(row *row) { row.PushedRevision, row.instance = 0, "" })
		if e, err = r.pin(ctx, driver, e); err != nil || e == nil {
			return err
		}
	}
	defer r.vmLock.lock(e.Binding.Driver + "/" + e.Binding.Instance)()
	if err := r.cleanLeftover(ctx, driver, e.Binding.Driver, e.Binding.Instance); err != nil {
		return err
	}
	return r.settle(ctx, driver, e)
}

// pin resolves the binding's reference, once for its life: a name that later means another VM
// never gets this executor's data. It answers nil when the binding changed under its hands.
func (r *Reconciler) pin(ctx context.Context, driver vm.Driver, e *store.Executor) (*store.Executor, error) {
	instance, err := driver.Resolve(ctx, e.Binding.Ref)
	if err != nil {
		return nil, err
	}
	err = r.Store.Pin(ctx, e.Config.ID, e.Binding, instance)
	if isGone(err) {
		return nil, nil // its own event brings us back
	}
	if err != nil {
		return nil, err
	}
	pinned, err := r.Store.Executor(ctx, e.Config.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case pinned.Binding == nil || pinned.Binding.Instance != instance:
		return nil, nil
	}
	return pinned, nil
}

// settle observes and changes the VM until there is nothing left to change.
func (r *Reconciler) settle(ctx context.Context, driver vm.Driver, e *store.Executor) error {
	key, instance := task{executor: e.Config.ID}, e.Binding.Instance
	base := e.Binding.Base
	begun := time.Now()
	var set, deleted int
	for range maxRounds {
		view, err := r.observe(ctx, driver, e, base)
		if err != nil {
			return err
		}
		if view.reported != nil {
			// What the guest says goes into the store first: it is what we compare with from now on.
			if e, base, err = r.accept(ctx, e, base, view); err != nil || e == nil {
				return err
			}
			if view.desired, err = r.desired(e, view.state.Power); err != nil {
				return err
			}
		}
		delta := extraconfig.Diff(view.observed, view.desired)
		if delta.Empty() {
			if err := r.confirm(ctx, e, instance, view); err != nil {
				return err
			}
			r.table.update(key, func(row *row) {
				row.PushedRevision, row.instance = e.Revision, instance
				if set+deleted > 0 {
					row.LastPush = &LastPush{At: time.Now(), KeysSet: set, KeysDeleted: deleted, Duration: time.Since(begun)}
				}
			})
			return nil
		}
		err = r.apply(ctx, driver, instance, vm.Change{Set: delta.Set, Delete: delta.Delete, Version: view.state.Version})
		switch {
		case errors.Is(err, vm.ErrConflict):
			continue // somebody changed the VM since we looked: look again
		case err != nil:
			return err
		}
		set, deleted = set+len(delta.Set), deleted+len(delta.Delete)
		base = view.desired.Fields()
		r.Logger.Debug("pushed", "executor", e.Config.ID, "revision", e.Revision, "set", len(delta.Set), "deleted", len(delta.Delete))
	}
	return errUnsettled
}

// view is a VM as it was seen, beside what it should be.
type view struct {
	state    vm.State
	observed extraconfig.KeySet
	desired  extraconfig.KeySet
	reported map[string]string // fields that the guest set, with their digests; nil for none
}

// observe looks at the VM. It refuses one that belongs to another executor.
func (r *Reconciler) observe(ctx context.Context, driver vm.Driver, e *store.Executor, base map[string]string) (*view, error) {
	state, err := driver.Observe(ctx, e.Binding.Instance)
	if err != nil {
		return nil, err
	}
	r.table.observed(task{executor: e.Config.ID}, state.Power, time.Now())
	v := &view{state: state, observed: r.Store.Codec().Parse(state.Keys)}
	if v.desired, err = r.desired(e, state.Power); err != nil {
		return nil, err
	}
	if base == nil && !e.Binding.TakeOver {
		if holder, ok := v.observed.Get(holderKey); ok && holder.Value != "" && holder.Value != e.Config.ID {
			return nil, fmt.Errorf("the VM belongs to executor %q: bind with takeOver=true to replace it", holder.Value)
		}
	}
	v.reported = reports(e, base, v.observed, v.desired)
	return v, nil
}

// holderKey tells in a VM which executor it belongs to.
const holderKey = "guestinfo.vice./common/id"

// desired is the key set that the VM should hold: non-persistent keys only while it is on.
func (r *Reconciler) desired(e *store.Executor, power vm.Power) (extraconfig.KeySet, error) {
	keys, err := r.Store.KeySet(e)
	if err != nil || power == vm.PowerOn {
		return keys, err
	}
	return keys.Filter(func(p extraconfig.Pair) bool { return !p.NonPersistent() }), nil
}

// apply makes a change. One that was begun is seen through when the server stops.
func (r *Reconciler) apply(ctx context.Context, driver vm.Driver, instance string, c vm.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.ApplyLimit)
	defer cancel()
	return driver.Apply(ctx, instance, c)
}

// confirm notes durably which read-write values the VM holds: what differs from them later is a report.
func (r *Reconciler) confirm(ctx context.Context, e *store.Executor, instance string, v *view) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.ApplyLimit)
	defer cancel()
	seen := store.Sighting{Epoch: v.state.Epoch, Power: string(v.state.Power), Config: e.ConfigRevision}
	_, err := r.Store.Confirm(ctx, e.Config.ID, instance, v.desired.Fields(), seen)
	if isGone(err) {
		return nil // unbound or deleted meanwhile: the event brings the next step
	}
	return err
}

// isGone reports that an executor or its binding is no longer what work began with.
func isGone(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnbound) || errors.Is(err, store.ErrConflict)
}

func (r *Reconciler) driver(name string) (vm.Driver, error) {
	if d := r.Drivers[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("this server has no driver %q", name)
}

// clean removes our keys from a VM that was unbound.
func (r *Reconciler) clean(ctx context.Context, driverName, instance string) error {
	driver, err := r.driver(driverName)
	if err != nil {
		return err
	}
	defer r.vmLock.lock(driverName + "/" + instance)()
	return r.cleanLeftover(ctx, driver, driverName, instance)
}

// cleanLeftover removes what an earlier binding left in a VM, if it has not been seen clean yet.
func (r *Reconciler) cleanLeftover(ctx context.Context, driver vm.Driver, driverName, instance string) error {
	u, err := r.Store.Unbinding(ctx, driverName, instance)
	if err != nil || u == nil {
		return err
	}
	if err := r.empty(ctx, driver, instance); err != nil {
		return fmt.Errorf("clean the VM of executor %s: %w", u.Executor, err)
	}
	return r.Store.Cleaned(ctx, u.Driver, u.Instance)
}

// empty deletes every key of ours from a VM, and looks whether they are gone.
func (r *Reconciler) empty(ctx context.Context, driver vm.Driver, instance string) error {
	for range maxRounds {
		state, err := driver.Observe(ctx, instance)
		if err != nil {
			return err
		}
		delta := extraconfig.Diff(r.Store.Codec().Parse(state.Keys), extraconfig.KeySet{})
		if delta.Empty() {
			return nil
		}
		err = r.apply(ctx, driver, instance, vm.Change{Delete: delta.Delete, Version: state.Version})
		if err != nil && !errors.Is(err, vm.ErrConflict) {
			return err
		}
	}
	return errUnsettled
}
