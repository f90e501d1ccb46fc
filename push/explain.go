package push

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// Explanation holds what a VM should have against what it has.
type Explanation struct {
	Revision   uint64 // of the executor
	Power      vm.Power
	ObservedAt time.Time
	Rows       []Row // by key
}

// Row is one key. What is secret shows here as it stands in the VM: sealed.
type Row struct {
	Desired  *extraconfig.Pair // nil: the VM should not have it
	Observed *extraconfig.Pair // nil: the VM does not have it; spelled as it is there
	Why      Why               // empty when both are the same
}

// pair is the one of both that there is.
func (r Row) pair() extraconfig.Pair {
	if r.Desired != nil {
		return *r.Desired
	}
	return *r.Observed
}

// Explain looks at the VM and answers key by key what it should have, what it has, and why they differ. It changes nothing, neither
// in the VM nor in the store. Errors are those of Plan.
func (r *Reconciler) Explain(ctx context.Context, id string) (Explanation, error) {
	l, err := r.lookOnly(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Revision: l.e.Revision, Power: l.state.Power, ObservedAt: time.Now()}
	was := r.table.get(task{executor: id}).was(l.e.Binding)
	delta := l.delta()
	differs := make(map[string]bool, len(delta.Set)+len(delta.Delete))
	for _, p := range delta.Set {
		differs[p.Key] = true
	}
	for _, key := range delta.Delete {
		differs[key] = true
	}
	seen := make(map[string]bool, l.observed.Len())
	for want := range l.desired.All() {
		row := Row{Desired: &want}
		if have, ok := l.observed.Get(want.Key); ok {
			row.Observed, seen[have.Key] = &have, true
		}
		if differs[want.Key] {
			row.Why = l.told(want, true, was)
		}
		x.Rows = append(x.Rows, row)
	}
	for have := range l.observed.All() {
		if seen[have.Key] {
			continue
		}
		row := Row{Observed: &have}
		if differs[have.Key] {
			row.Why = l.told(have, false, was)
		}
		x.Rows = append(x.Rows, row)
	}
	slices.SortStableFunc(x.Rows, func(a, b Row) int { return cmp.Compare(a.pair().Key, b.pair().Key) })
	return x, nil
}
