package store

import (
	"errors"
	"fmt"
)

// WriteOption asks more of one write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	preconditions []Precondition
	uniqueName    bool
	keepReports   bool
	keepSecrets   bool
}

func optionsOf(opts []WriteOption) *writeOptions {
	o := &writeOptions{}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// If makes a write happen only when p holds in the very transaction that makes it; otherwise the error is a
// *PreconditionError. It may be given more than once.
func If(p Precondition) WriteOption {
	return func(o *writeOptions) { o.preconditions = append(o.preconditions, p) }
}

// UniqueName refuses an executor whose name another one has: *NameError. An empty name is nobody's.
func UniqueName() WriteOption { return func(o *writeOptions) { o.uniqueName = true } }

// KeepReports makes UpdateExecutor leave the guest's reports as they are, whatever the change says: what a PUT does.
// Entries that are new have what the change gives them.
func KeepReports() WriteOption { return func(o *writeOptions) { o.keepReports = true } }

// KeepSecrets makes Bind refuse a VM to which an executor would bring secrets, and which it is not bound to: ErrSecrets.
func KeepSecrets() WriteOption { return func(o *writeOptions) { o.keepSecrets = true } }

// Precondition is what must hold of a resource for a write to happen. The zero one always does.
type Precondition struct {
	Entry  string // the entry of an executor that it is about, by map and name, sessions/web; empty for the resource itself
	Absent bool   // there must be none: If-None-Match: *
	Match  *Match // it must be in one of these states: If-Match
}

// Match are states of a resource. One with no tag that is not for any holds for nothing.
type Match struct {
	Any     bool // whatever state, as long as there is one
	Tags    []Tag
	Reports bool // states differ also when only the guest's reports do
}

// holds reports whether a state that there is is one of these.
func (m *Match) holds(t Tag) bool {
	for _, want := range m.Tags {
		if want.ConfigRevision == t.ConfigRevision && (!m.Reports || want.Revision == t.Revision) {
			return true
		}
	}
	return m.Any
}

// ErrPrecondition is that of a write whose precondition does not hold.
var ErrPrecondition = errors.New("the precondition does not hold")

// PreconditionError is an ErrPrecondition that says how things stand.
type PreconditionError struct {
	Missing bool // there is no such resource
	Current Tag  // its tag, when there is one
}

func (e *PreconditionError) Error() string {
	if e.Missing {
		return "the precondition does not hold: there is no such resource"
	}
	return fmt.Sprintf("the precondition does not hold: the resource is at %s", e.Current)
}

// Is makes it an ErrPrecondition.
func (e *PreconditionError) Is(target error) bool { return target == ErrPrecondition }

// tagged is a resource, or the nil pointer that stands for none.
type tagged interface {
	tagOf(entry string) (t Tag, ok bool)
}

func (o *writeOptions) check(resource tagged) error {
	for _, p := range o.preconditions {
		t, present := resource.tagOf(p.Entry)
		failed := p.Absent && present
		if p.Match != nil && !failed {
			failed = !present || !p.Match.holds(t)
		}
		if failed {
			return &PreconditionError{Missing: !present, Current: t}
		}
	}
	return nil
}
