package push

import (
	"context"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// State says in a word how an executor and its VM stand.
type State string

const (
	StateUnbound State = "unbound" // there is no VM to push to
	StatePending State = "pending" // the VM was not yet seen to hold the present revision
	StateSynced  State = "synced"  // the VM was seen to hold the present revision
	StateFailed  State = "failed"  // the last attempt failed; it is retried
)

// Status is what is known of an executor's push. It is kept in memory: after a restart it
// is pending until the VM was looked at.
type Status struct {
	State           State
	DesiredRevision uint64    // the executor's present revision
	PushedRevision  uint64    // the last one that the VM was seen to hold; 0 for none
	LastError       string    // of the last attempt, empty when it succeeded
	Attempts        int       // failed ones in a row
	NextRetry       time.Time // zero when none is planned
	LastPush        *LastPush // the last change of the VM, nil for none since the server started
	Power           vm.Power
	PowerSince      time.Time // when Power was first seen
	ObservedAt      time.Time // when the VM was last looked at
}

// LastPush tells of one change of a VM.
type LastPush struct {
	At          time.Time
	KeysSet     int
	KeysDeleted int
	Duration    time.Duration
}

// Status gives an executor's status; store.ErrNotFound when there is no such executor.
func (r *Reconciler) Status(ctx context.Context, id string) (Status, error) {
	// The table is read first: what it says was pushed is then never ahead of what is desired.
	row := r.table.get(task{executor: id})
	e, err := r.Store.Executor(ctx, id)
	if err != nil {
		return Status{}, err
	}
	return row.of(e), nil
}

// State gives the state of an executor as it was read, without a look at the store.
func (r *Reconciler) State(e *store.Executor) State {
	row := r.table.get(task{executor: e.Config.ID})
	return row.of(e).State
}

// of is the status of an executor whose VM was seen as the row says.
func (s *row) of(e *store.Executor) Status {
	if e.Binding == nil {
		return Status{State: StateUnbound, DesiredRevision: e.Revision, Power: vm.PowerUnknown}
	}
	s.DesiredRevision = e.Revision
	switch {
	case s.LastError != "":
		s.State = StateFailed
	case e.Binding.Instance != "" && s.instance == e.Binding.Instance && !s.behind && s.PushedRevision >= e.Revision:
		s.State = StateSynced
	default:
		s.State = StatePending
	}
	return s.Status
}
