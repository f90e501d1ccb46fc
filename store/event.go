package store

import (
	"context"
	"time"
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
	ActionConfirm = "confirm" // the VM was seen to hold the read-write fields
	ActionClean   = "clean"   // a VM that was unbound was seen without any key of ours
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
	// Values are the new values of read-write fields. Secrets are never among them.
	Values map[string]string `json:"values,omitempty"`
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
