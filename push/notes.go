package push

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// noteInterval is the time between two events of one kind about one VM: what happens in between is told in one. A VM that flaps
// pushes nobody's history out of the feed.
const noteInterval = time.Minute

// notes puts on the feed what is seen of VMs: drift, and that they were switched.
type notes struct {
	write func(context.Context, store.Event) error

	mu    sync.Mutex
	told  map[noteKey]*note
	order []noteKey     // by the time of the last event
	wake  chan struct{} // has room for one
}

type noteKey struct{ executor, action string }

// note is about a VM of which there was an event less than the interval ago.
type note struct {
	until   time.Time
	name    string
	fields  map[string]bool   // to be told then
	values  map[string]string // likewise
	waiting bool
}

func newNotes(write func(context.Context, store.Event) error) *notes {
	return &notes{write: write, told: map[noteKey]*note{}, wake: make(chan struct{}, 1)}
}

// drift tells of fields that are put back.
func (n *notes) drift(ctx context.Context, e *store.Executor, fields []string) error {
	return n.add(ctx, e, store.ActionDrift, fields, nil)
}

// power tells that the VM was switched.
func (n *notes) power(ctx context.Context, e *store.Executor, power vm.Power) error {
	return n.add(ctx, e, store.ActionPower, []string{"power"}, map[string]string{"power": string(power)})
}

func (n *notes) add(ctx context.Context, e *store.Executor, action string, fields []string, values map[string]string) error {
	key := noteKey{e.Config.ID, action}
	n.mu.Lock()
	if t := n.told[key]; t != nil {
		if t.fields == nil {
			t.fields = map[string]bool{}
		}
		for _, field := range fields {
			t.fields[field] = true
		}
		t.values, t.name, t.waiting = values, e.Config.Name, true
		n.mu.Unlock()
		return nil
	}
	n.rest(key, &note{until: time.Now().Add(noteInterval)})
	n.mu.Unlock()
	return n.write(ctx, store.Event{Kind: store.KindVM, ID: e.Config.ID, Name: e.Config.Name, Action: action, Fields: fields, Values: values})
}

// rest has the next event of this kind wait.
func (n *notes) rest(key noteKey, t *note) {
	n.told[key] = t
	n.order = append(n.order, key)
	if len(n.order) == 1 {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run tells what has waited long enough, until ctx ends, and then all the rest.
func (n *notes) run(ctx context.Context) error {
	for {
		rest, any := n.next()
		var due <-chan time.Time
		if any {
			due = time.After(rest)
		}
		select {
		case <-ctx.Done():
			return n.tell(context.WithoutCancel(ctx), time.Now().Add(noteInterval))
		case <-n.wake:
		case <-due:
			if err := n.tell(ctx, time.Now()); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (n *notes) next() (rest time.Duration, any bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.order) == 0 {
		return 0, false
	}
	return time.Until(n.told[n.order[0]].until), true
}

// tell writes the events whose time has come.
func (n *notes) tell(ctx context.Context, now time.Time) error {
	var errs []error
	for _, e := range n.take(now) {
		errs = append(errs, n.write(ctx, e))
	}
	return errors.Join(errs...)
}

func (n *notes) take(now time.Time) (events []store.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var again []noteKey
	for len(n.order) > 0 && !n.told[n.order[0]].until.After(now) {
		key := n.order[0]
		t := n.told[key]
		n.order = n.order[1:]
		delete(n.told, key)
		if !t.waiting {
			continue
		}
		events = append(events, store.Event{
			Kind: store.KindVM, ID: key.executor, Name: t.name, Action: key.action, Fields: slices.Sorted(maps.Keys(t.fields)), Values: t.values,
		})
		again = append(again, key)
	}
	for _, key := range again {
		n.rest(key, &note{until: now.Add(noteInterval)})
	}
	return events
}
