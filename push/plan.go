package push

import (
	"context"
	"fmt"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
)

// Plan is what a push would do now.
type Plan struct {
	Revision  uint64 // the executor's
	Set       []extraconfig.Pair
	Delete    []string
	Unchanged int // keys that stay as they are
	Bytes     int // of the keys and values that would be sent
	Calls     int // changes of the VM: one, or none when nothing differs
}

// VMError is a failure on the VM's side: it cannot be found, reached, or be ours. The status of the
// executor shows the same words once a push has met it.
type VMError struct{ Err error }

func (e *VMError) Error() string { return e.Err.Error() }
func (e *VMError) Unwrap() error { return e.Err }

// Plan looks at the VM and answers what a push would do, and changes nothing, neither in the VM
// nor in the store. Errors are Push's own, and *VMError.
func (r *Reconciler) Plan(ctx context.Context, id string) (Plan, error) {
	e, v, err := r.lookOnly(ctx, id)
	if err != nil {
		return Plan{}, err
	}
	if v.reported != nil {
		reported := *e
		reported.Config = e.Config.Clone()
		if _, err := r.decodeReports(reported.Config, e.SecretKey, e.Binding.Base, v.observed, v.reported); err != nil {
			return Plan{}, err
		}
		if v.desired, err = r.desired(&reported, v.state.Power); err != nil {
			return Plan{}, err
		}
	}
	delta := extraconfig.Diff(v.observed, v.desired)
	p := Plan{Revision: e.Revision, Set: delta.Set, Delete: delta.Delete, Unchanged: v.desired.Len() - len(delta.Set)}
	for _, pair := range delta.Set {
		p.Bytes += len(pair.Key) + len(pair.Value)
	}
	for _, key := range delta.Delete {
		p.Bytes += len(key)
	}
	if !delta.Empty() {
		p.Calls = 1
	}
	return p, nil
}

// lookOnly looks at the VM of an executor as a push would, and changes nothing.
func (r *Reconciler) lookOnly(ctx context.Context, id string) (*store.Executor, *view, error) {
	e, err := r.Store.Executor(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if e.Binding == nil {
		return nil, nil, fmt.Errorf("look at the VM of %s: %w", id, store.ErrUnbound)
	}
	driver, err := r.driver(e.Binding.Driver)
	if err != nil {
		return nil, nil, &VMError{err}
	}
	if e.Binding.Instance == "" {
		binding := *e.Binding
		if binding.Instance, err = driver.Resolve(ctx, binding.Ref); err != nil {
			return nil, nil, &VMError{err}
		}
		planned := *e
		planned.Binding = &binding
		e = &planned
	}
	v, err := r.observe(ctx, driver, e, e.Binding.Base)
	if err != nil {
		return nil, nil, &VMError{err}
	}
	return e, v, nil
}

// why says why a key differs. A read-write field has a base to tell by.
func (r *Reconciler) why(e *store.Executor, v *view, row Row) Why {
	p := row.pair()
	field := p.Field()
	switch {
	case v.reported[field] != "":
		return WhyReport
	case p.Scope() == extraconfig.ReadWrite && e.Binding.Base != nil && v.desired.Fields()[field] == e.Binding.Base[field]:
		return WhyDrift
	case e.Binding.Base != nil && e.Binding.Seen.Config == e.ConfigRevision:
		return WhyDrift
	}
	return WhyPending
}
