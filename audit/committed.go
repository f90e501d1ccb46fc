package audit

import (
	"context"

	"github.com/vmexecutor/config-server/store"
)

// What the lines of what no request of the API asked for say. No caller of the API can have such a role, or such a source.
const (
	Server       = "server" // the actor and the role of what the server does by itself
	GuestChannel = "guest channel"
	InVM         = "VM" // seen in a VM, by whoever put it there
)

type (
	entryKey  struct{}
	originKey struct{}
)

// With opens an entry in a context: what is committed in it is noted there, and is for whoever opened it to write.
func With(ctx context.Context, e *Entry) context.Context {
	return context.WithValue(ctx, entryKey{}, e)
}

// Of gives the entry that is open in a context. Without one it gives one that nobody will write.
func Of(ctx context.Context) *Entry {
	if e, ok := ctx.Value(entryKey{}).(*Entry); ok {
		return e
	}
	return &Entry{}
}

// From notes where reports that are committed in a context come from: GuestChannel, or Server when no guest made them. Without it they were seen in a VM.
func From(ctx context.Context, origin string) context.Context {
	return context.WithValue(ctx, originKey{}, origin)
}

// Committed notes a commit in the entry that is open in its context, or else writes a line of its own for those that have one. It is for store.Options.
func (t *Trail) Committed(ctx context.Context, e store.Event, before uint64) {
	if open, ok := ctx.Value(entryKey{}).(*Entry); ok {
		open.Before, open.After, open.Fields = before, e.Revision, e.Fields
		return
	}
	line := Entry{Operation: e.Action, Resource: Executor(e.ID), Before: before, After: e.Revision, Fields: e.Fields, Outcome: Done}
	switch e.Action {
	case store.ActionReport:
		if line.Source, _ = ctx.Value(originKey{}).(string); line.Source == "" {
			line.Source = InVM
		}
		line.Actor, line.Role = e.ID, GuestRole(e.ID)
		if line.Source == Server {
			line.Actor, line.Role, line.Source = Server, Server, ""
		}
	case store.ActionDrift:
		line.Source, line.Outcome = InVM, PutBack
	case store.ActionResolve, store.ActionClean, store.ActionDeliver:
		line.Actor, line.Role, line.Resource = Server, Server, line.Resource+"/vm"
	default: // what the server has to remember of a VM, and that it was switched
		return
	}
	t.Write(&line)
}

// Executor is the resource that an executor is.
func Executor(id string) string { return "/v1/executors/" + id }

// GuestRole is the role of an executor's guest.
func GuestRole(executor string) string { return "vm:" + executor }
