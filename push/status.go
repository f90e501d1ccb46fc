package push

import (
	"context"
	"math/rand/v2"
	"sync"
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

// QueueDepth gives how many executors and VMs wait for a worker.
func (r *Reconciler) QueueDepth() int {
	n, _ := r.queue.depth()
	return n
}

// QueueAge gives how long the one that waits longest has waited.
func (r *Reconciler) QueueAge() time.Duration {
	if _, since := r.queue.depth(); !since.IsZero() {
		return time.Since(since)
	}
	return 0
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
	case e.Binding.Instance != "" && s.instance == e.Binding.Instance && s.PushedRevision >= e.Revision:
		s.State = StateSynced
	default:
		s.State = StatePending
	}
	return s.Status
}

// table holds what was seen of each task's VM.
type table struct {
	mu   sync.Mutex
	rows map[task]*row
}

type row struct {
	Status
	instance string // the VM that PushedRevision was pushed to
}

func newTable() *table { return &table{rows: map[task]*row{}} }

func (t *table) get(key task) row {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[key]; r != nil {
		return *r
	}
	return row{Status: Status{Power: vm.PowerUnknown}}
}

func (t *table) update(key task, change func(*row)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[key]
	if r == nil {
		r = &row{Status: Status{Power: vm.PowerUnknown}}
		t.rows[key] = r
	}
	change(r)
}

func (t *table) forget(key task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, key)
}

func (t *table) observed(key task, power vm.Power, now time.Time) {
	t.update(key, func(r *row) {
		if r.Power != power {
			r.Power, r.PowerSince = power, now
		}
		r.ObservedAt = now
	})
}

// succeeded clears a failure. A row that holds nothing else is dropped.
func (t *table) succeeded(key task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[key]
	if r == nil {
		return
	}
	r.LastError, r.Attempts, r.NextRetry = "", 0, time.Time{}
	if key.executor == "" {
		delete(t.rows, key)
	}
}

// failed notes a failure and plans the retry: exponential, with a fifth of jitter so that VMs
// which failed together do not come back together.
func (t *table) failed(key task, err error, shortest, longest time.Duration) (attempts int, delay time.Duration) {
	t.update(key, func(r *row) {
		delay = min(longest, shortest<<min(r.Attempts, 20))
		delay += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(delay)) //nolint:gosec // jitter is no secret
		r.Attempts++
		r.LastError = err.Error()
		r.NextRetry = time.Now().Add(delay)
		attempts = r.Attempts
	})
	return attempts, delay
}
