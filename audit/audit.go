// Package audit says who did what: one line for each change of what the server keeps, and for each attempt that was refused, whoever made it,
// a client of the API or the guest of a VM. A line has names and numbers; no value, no credential and no query ever gets into one.
//
// The edge (package handlers) opens an entry for a request and writes it when the request has ended; in between the store says by the request's context
// what it committed (Trail.Committed). What nobody asked the API for, a guest's report or the server's own bookkeeping, has a line as soon
// as it is committed. Package app makes the trail; packages handlers and push say where a change comes from. It imports package store alone.
package audit

import (
	"log/slog"
	"strings"
	"time"
)

// Outcome is what came of it, in a word or two.
type Outcome string

// The outcomes.
const (
	Done      Outcome = "done"      // it was done: what was to change is stored
	Unchanged Outcome = "unchanged" // all was as it was asked for already, or nothing was to be done but to look
	Refused   Outcome = "refused"   // it may not be, or cannot be as it was asked for
	Failed    Outcome = "failed"    // it could not be done, for no fault of whoever asked
	PutBack   Outcome = "put back"  // somebody changed what only the server may change in a VM, and it has what it should again
	Omitted   Outcome = "omitted"   // a number of lines were left out: see Entry.Count
)

// changes reports whether a line tells of something that was done, and so is never left out.
func (o Outcome) changes() bool { return o == Done || o == PutBack }

// Entry is a line. What is empty is left out of it.
type Entry struct {
	// Time is when it had ended, in UTC.
	Time time.Time `json:"time"`
	// Actor is the name of who did it or tried to: of a caller of the API, of the executor whose guest it was, or "server". It is empty for callers who are not known.
	Actor string `json:"actor,omitempty"`
	// Role is what the actor may do: viewer, operator, admin, vm:<executor>, or server, which no caller of the API can have.
	Role string `json:"role,omitempty"`
	// Source is where it came from: an address and its port, "unix uid=1000 pid=4711", "guest channel", or "VM" for what was seen in a VM.
	Source string `json:"source,omitempty"`
	// Operation is one of the API's, by its id; for what is none of these the method. Of guests it is "report" for what
	// was taken, "set" or another "request" for what was refused, and "drift" for what was put back; of the server "resolve", "clean",
	// "deliver", "reseal", or "report" of execs that ended with their boot.
	Operation string `json:"operation,omitempty"`
	// Resource is the path of what it was about, without a query: of what was made, once it is. At most MaxText bytes are told.
	Resource string `json:"resource,omitempty"`
	// Before is the revision at which the resource had changed last, or the executor that it is a part of. It is 0 when there was none.
	Before uint64 `json:"before,omitempty"`
	// After is the revision of the commit; 0 when nothing was committed.
	After uint64 `json:"after,omitempty"`
	// Fields are the dotted names of what changed within a resource that was there and still is, MaxFields at most; MoreFields counts the others.
	Fields     []string `json:"fields,omitempty"`
	MoreFields int      `json:"moreFields,omitempty"`
	Outcome    Outcome  `json:"outcome"`
	// Status is that of the answer of the API.
	Status int `json:"status,omitempty"`
	// Reason says in a word why a guest was refused; Key is the key that it may not set, if that is one of the schema's.
	Reason string `json:"reason,omitempty"`
	Key    string `json:"key,omitempty"`
	// Request is the id that the answer, the log and problem documents have too.
	Request string `json:"request,omitempty"`
	// Count is how many lines of a source were left out within a minute. All of them told of something that changed nothing.
	Count int `json:"count,omitempty"`

	// Always: the line is never left out, though it may tell of nothing that changed.
	Always bool `json:"-"`
	// Client is who is one source for the bound on lines that change nothing: an address without its port, say. Empty is Source.
	Client string `json:"-"`
}

// Bounds of what a line holds. A name is at most some hundred bytes long.
const (
	MaxText   = 512 // bytes of Resource, and of Key
	MaxFields = 1000
)

// bound keeps a line to a length.
func (e *Entry) bound() {
	e.Resource, e.Key = cut(e.Resource), cut(e.Key)
	if len(e.Fields) > MaxFields {
		e.MoreFields += len(e.Fields) - MaxFields
		e.Fields = e.Fields[:MaxFields:MaxFields]
	}
}

func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	return strings.ToValidUTF8(s[:MaxText], "") + "..."
}

// attrs are the entry's fields for the log, but for the time, which every line of a log has.
func (e *Entry) attrs() []any {
	attrs := make([]any, 0, 16)
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	number := func(name string, value uint64) {
		if value != 0 {
			attrs = append(attrs, slog.Uint64(name, value))
		}
	}
	text("actor", e.Actor)
	text("role", e.Role)
	text("source", e.Source)
	text("operation", e.Operation)
	text("resource", e.Resource)
	number("before", e.Before)
	number("after", e.After)
	if len(e.Fields) > 0 {
		attrs = append(attrs, slog.Any("fields", e.Fields))
	}
	number("moreFields", uint64(e.MoreFields)) //nolint:gosec // never negative
	text("outcome", string(e.Outcome))
	number("status", uint64(e.Status)) //nolint:gosec // never negative
	text("reason", e.Reason)
	text("key", e.Key)
	text("request", e.Request)
	number("count", uint64(e.Count)) //nolint:gosec // never negative
	return attrs
}
