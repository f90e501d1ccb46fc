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

// Plan is what a push would do now.
type Plan struct {
	Revision  uint64 // the executor's
	Set       []extraconfig.Pair
	Delete    []string
	Unchanged int  // keys that stay as they are
	Bytes     int  // of the keys and values that would be sent
	SecretKey bool // the key that opens secrets is given to the guest, or taken away
	Calls     int  // changes of the VM: one, or none when nothing differs
}

// VMError is a failure on the VM's side: it cannot be found, reached, or be ours. The status of the
// executor shows the same words once a push has met it.
type VMError struct{ Err error }

func (e *VMError) Error() string { return e.Err.Error() }
func (e *VMError) Unwrap() error { return e.Err }

// Plan looks at the VM and answers what a push would do, and changes nothing, neither in the VM
// nor in the store. Errors are Push's own, and *VMError.
func (r *Reconciler) Plan(ctx context.Context, id string) (Plan, error) {
	l, err := r.lookOnly(ctx, id)
	if err != nil {
		return Plan{}, err
	}
	now := time.Now()
	if len(l.reported)+len(l.ended) > 0 {
		if err := r.accept(ctx, l, r.tryReport(id)); err != nil {
			return Plan{}, err
		}
	}
	l.held, _ = r.table.get(task{executor: id}).hold(l.torn, now, r.TornWait)
	if err := l.refuseSecrets(); err != nil {
		return Plan{}, &VMError{err}
	}
	delta := l.delta()
	change := l.change(delta)
	p := Plan{Revision: l.e.Revision, Set: delta.Set, Delete: delta.Delete, Unchanged: l.desired.Len() - len(delta.Set)}
	for _, pair := range delta.Set {
		p.Bytes += len(pair.Key) + len(pair.Value)
	}
	for _, key := range delta.Delete {
		p.Bytes += len(key)
	}
	p.SecretKey = len(change.SecretKey) > 0 || change.Forget
	if !change.Empty() {
		p.Calls = 1
	}
	return p, nil
}

// tryReport answers what a report would do, without doing it.
func (r *Reconciler) tryReport(id string) reportFunc {
	return func(ctx context.Context, _ map[string]string, apply applyFunc) (*store.Executor, error) {
		return r.Store.CheckReport(ctx, id, apply)
	}
}

// lookOnly looks at the VM of an executor as a push would, and changes nothing.
func (r *Reconciler) lookOnly(ctx context.Context, id string) (*look, error) {
	e, err := r.Store.Executor(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.Binding == nil {
		return nil, fmt.Errorf("look at the VM of %s: %w", id, store.ErrUnbound)
	}
	driver, err := r.driver(e.Binding.Driver)
	if err != nil {
		return nil, &VMError{err}
	}
	if e.Binding.Instance == "" {
		binding := *e.Binding
		if binding.Instance, err = driver.Resolve(ctx, binding.Ref); err != nil {
			return nil, &VMError{err}
		}
		pinned := *e
		pinned.Binding = &binding
		e = &pinned
	}
	l, err := r.observe(ctx, driver, e, nil)
	if _, hosted := driver.(vm.Host); hosted && errors.Is(err, vm.ErrNotFound) {
		l, err = r.lookAt(e, vm.State{Power: vm.PowerUnknown}, hosted) // it is not attached yet, and holds nothing
	}
	if err != nil {
		return nil, &VMError{err}
	}
	return l, nil
}
