package push

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// errOutage marks the failure of a task that did not ask a hypervisor which is away.
var errOutage = errors.New("not asked again")

// outcome is what one attempt did.
type outcome struct {
	seen         bool          // the VM was seen to hold what it should
	again        time.Duration // when to look again: a guest may still be writing
	applied      bool          // the VM was changed
	set, deleted int
}

func (o outcome) result() Result {
	if o.applied {
		return ResultApplied
	}
	return ResultUnchanged
}

// converge makes the VM of one executor hold what the store says. It ends well only when the VM
// was seen to hold it, or when there is nothing to do.
func (r *Reconciler) converge(ctx context.Context, j job) (done outcome, err error) {
	id := j.executor
	e, err := r.Store.Executor(ctx, id)
	if errors.Is(err, store.ErrNotFound) || (err == nil && e.Binding == nil) {
		r.table.forget(j.task)
		return done, nil
	}
	if err != nil {
		return done, err
	}
	driver, err := r.driver(e.Binding.Driver)
	if err != nil {
		return done, err
	}
	err = r.asking(e.Binding.Driver, j.class, func() error {
		if e.Binding.Instance == "" {
			r.table.update(j.task, func(row *row) { row.PushedRevision, row.instance = 0, "" })
			if e, err = r.pin(ctx, driver, e); err != nil || e == nil {
				return err
			}
		}
		defer r.vmLock.lock(e.Binding.Driver + "/" + e.Binding.Instance)()
		r.table.claim(j.task, e.Binding.Driver, e.Binding.Instance)
		if err := r.cleanLeftover(ctx, driver, j.class, e.Binding.Driver, e.Binding.Instance); err != nil {
			return err
		}
		if err := r.attach(ctx, driver, j.task, e); err != nil {
			return err
		}
		done, err = r.settle(ctx, driver, j, e)
		if isGone(err) {
			return nil // unbound or deleted meanwhile: the event brings the next step
		}
		return err
	})
	return done, err
}

// asking has work ask a hypervisor, unless that is known to be away.
func (r *Reconciler) asking(name string, c class, work func() error) error {
	o := r.outages[name]
	if c != fromClient {
		if err := o.refuse(time.Now(), r.backoff); err != nil {
			return fmt.Errorf("%w (%w)", err, errOutage)
		}
	}
	err := work()
	if errors.Is(err, context.Canceled) {
		return err
	}
	away := errors.Is(err, vm.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
	began, ended := o.answered(away, err)
	switch {
	case began:
		r.Logger.Error("a hypervisor is away", "driver", name, "error", err)
	case ended:
		r.Logger.Info("a hypervisor is back", "driver", name)
	}
	return err
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
func (r *Reconciler) settle(ctx context.Context, driver vm.Driver, j job, e *store.Executor) (done outcome, err error) {
	begun := time.Now()
	var before *look // at the VM as it was when it was changed
	for range maxRounds {
		l, err := r.see(ctx, driver, j.task, e, before)
		if err != nil {
			return done, err
		}
		if err := l.refuseSecrets(); err != nil {
			return done, err
		}
		delta := l.delta()
		change := l.change(delta)
		if change.Empty() && len(l.held) == 0 {
			if _, err := r.confirm(ctx, l); err != nil {
				return done, err
			}
			done.seen = true
			r.synced(driver, j.task, l, done, begun)
			return done, nil
		}
		if err := r.noteDrift(ctx, j.task, l, l.drifted(delta, r.table.get(j.task).was(l.e.Binding))); err != nil {
			return done, err
		}
		if change.Empty() {
			done.again = l.wait // the guest may still be writing
			return done, nil
		}
		if e, err = r.announce(ctx, l, delta); err != nil {
			return done, err
		}
		l.e = e
		if !l.hosted { // the rate is there to spare hypervisors
			if err := r.gate.wait(ctx, j.class); err != nil {
				return done, err
			}
		}
		change.Revision = e.Revision
		err = r.apply(ctx, driver, e.Binding.Instance, change)
		switch {
		case errors.Is(err, vm.ErrConflict):
			before = nil
			continue // somebody changed the VM since we looked: look again
		case err != nil:
			return done, err
		}
		done.applied, done.set, done.deleted = true, done.set+len(delta.Set), done.deleted+len(delta.Delete)
		r.Logger.Debug("pushed", "executor", e.Config.ID, "revision", e.Revision, "set", len(delta.Set), "deleted", len(delta.Delete))
		if e, err = r.confirm(ctx, l); err != nil {
			return done, err
		}
		before, l.made = l, delta
	}
	return done, errUnsettled
}

// see looks at the VM, and takes in what the guest says.
func (r *Reconciler) see(ctx context.Context, driver vm.Driver, key task, e *store.Executor, before *look) (*look, error) {
	l, err := r.observe(ctx, driver, e, before)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if r.table.observed(key, l.state, e.Binding.Seen, now) {
		if err := r.notes.power(ctx, e, l.state.Power); err != nil {
			return nil, err
		}
	}
	if len(l.reported)+len(l.ended) > 0 {
		if err := r.accept(ctx, l, r.report(e.Config.ID, e.Binding.Instance, l.reportSighting())); err != nil {
			return nil, err
		}
		r.Observer.Reported(len(l.reported))
	}
	l.held, l.wait = r.table.hold(key, l.torn, now, r.TornWait)
	return l, nil
}

func (r *Reconciler) noteDrift(ctx context.Context, key task, l *look, fields []string) error {
	fields = r.table.drift(key, fields)
	if len(fields) == 0 {
		return nil
	}
	r.Observer.Drifted(len(fields))
	return r.notes.drift(ctx, l.e, fields)
}

// synced notes that the VM was seen to hold what it should.
func (r *Reconciler) synced(driver vm.Driver, key task, l *look, done outcome, begun time.Time) {
	if host, ok := driver.(vm.Host); ok {
		host.Settled(l.e.Binding.Instance, l.e.Revision)
	}
	seen := l.sight
	r.table.update(key, func(row *row) {
		row.PushedRevision = l.e.Revision
		row.behind, row.drifting, row.inOrder = false, nil, &seen
		if done.applied {
			row.LastPush = &LastPush{At: time.Now(), KeysSet: done.set, KeysDeleted: done.deleted, Duration: time.Since(begun)}
		}
	})
}

// announce notes durably what a change is about to do that must not be forgotten, whatever becomes of it: which execs this boot gets,
// since no other boot ever will, which values of read-write fields are ours and no guest's, and which of a guest's they replace.
func (r *Reconciler) announce(ctx context.Context, l *look, d extraconfig.Delta) (*store.Executor, error) {
	e := *l.e
	if len(l.due) > 0 {
		boots, err := r.Store.Deliver(ctx, e.Config.ID, l.boot, l.due)
		if err != nil {
			return nil, err
		}
		e.Boots = boots
	}
	if l.hosted {
		return &e, nil // what it holds is what it was given, and what it was asked for
	}
	offered, replaced := l.offers(d), l.replaces()
	if !maps.Equal(offered, e.Binding.Offered) || replaced != nil {
		binding, err := r.Store.Offer(ctx, e.Config.ID, e.Binding.Instance, offered, replaced)
		if err != nil {
			return nil, err
		}
		e.Binding = binding
	}
	return &e, nil
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
func (r *Reconciler) confirm(ctx context.Context, l *look) (*store.Executor, error) {
	base, seen, had := l.base(), l.sighting(), l.e.Binding
	if len(had.Offered) == 0 && had.Base != nil && !had.TakeOver && had.Seen.Epoch == seen.Epoch && had.Seen.Power == seen.Power && maps.Equal(had.Base, base) {
		return l.e, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.ApplyLimit)
	defer cancel()
	binding, err := r.Store.Confirm(ctx, l.e.Config.ID, had.Instance, base, seen)
	if err != nil {
		return nil, err
	}
	e := *l.e
	e.Binding = binding
	return &e, nil
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
