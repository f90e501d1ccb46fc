package store

import (
	"context"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/executor"
)

// What an event is about.
const (
	KindExecutor = "executor"
	KindNetwork  = "network"
	KindVM       = "vm"
)

// What happened.
const (
	ActionCreate  = "create"
	ActionUpdate  = "update"
	ActionDelete  = "delete"
	ActionReport  = "report"  // a guest set read-write fields
	ActionBind    = "bind"    // an executor was bound to a VM
	ActionUnbind  = "unbind"  // it was unbound
	ActionResolve = "resolve" // the VM of a binding was found
	ActionOffer   = "offer"   // read-write fields are about to be written into the VM
	ActionConfirm = "confirm" // the VM was seen to hold the read-write fields
	ActionClean   = "clean"   // a VM that was unbound was seen without any key of ours; where it ran then, again when it was seen so while it was off
	ActionDeliver = "deliver" // execs are about to be delivered, in this boot of the VM and no other
	ActionDrift   = "drift"   // the VM held something else in these fields, and it was put back
	ActionPower   = "power"   // the VM was switched: values tell the state, under power
)

// Event is what one commit did: one commit is one revision is one event.
type Event struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Action   string    `json:"action"`
	// Fields are the dotted paths that changed; a list or an address is one, an entry that came or went is one.
	Fields []string `json:"fields,omitempty"`
	Actor  string   `json:"actor,omitempty"`
	// Values are the new values of read-write fields, and of ActionPower the state. Secrets are never among them.
	Values map[string]string `json:"values,omitempty"`
}

// noted is an event as the engine keeps it: with what no reader is told.
type noted struct {
	Event
	// On are the container networks that an executor follows from this commit on, Was those until then; both are empty when they are the same. A
	// change of a network is also for who watches one executor on it, then as later, when the event is read from the history.
	On  []string `json:"on,omitempty"`
	Was []string `json:"was,omitempty"`
}

// moves notes which container networks an executor follows from this commit on; either may be nil.
func (t *txn) moves(was, next *executor.ExecutorConfig) {
	t.was, t.on = followed(was), followed(next)
	if slices.Equal(t.was, t.on) {
		t.was, t.on = nil, nil
	}
}

// followed are the container networks that the endpoints of an executor follow, in order.
func followed(c *executor.ExecutorConfig) (names []string) {
	if c == nil {
		return nil
	}
	for _, endpoint := range c.Networks {
		if endpoint.NetworkRef != "" {
			names = append(names, endpoint.NetworkRef)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

type actorKey struct{}

// WithActor notes who makes the changes of a context.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}
