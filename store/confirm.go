package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// Sighting is how a VM stood when it was seen to hold what the store says, or when the store took what its guest said: what can have
// happened to it since follows from that.
type Sighting struct {
	Epoch  string `json:"epoch,omitempty"`  // as the driver tells it: another one means that old values may have come back
	Boot   string `json:"boot,omitempty"`   // names the boot that it was in; another one has another epoch too
	Power  string `json:"power,omitempty"`  // as the driver tells it
	Config uint64 `json:"config,omitempty"` // the configuration revision that it held
}

// maxEarlier is how many earlier values of a field are remembered. A snapshot that is older than that many changes of a field
// brings back a value that nobody remembers, and that passes for a report.
const maxEarlier = 32

// Confirm notes that the VM was seen to hold the read-write fields of base, or took them. What seen says of the configuration
// alone is no reason to commit. It answers the binding as it is then. ErrConflict when the executor is bound to another VM by now,
// ErrUnbound when it is to none.
func (s *Store) Confirm(ctx context.Context, id, instance string, base map[string]string, seen Sighting) (confirmed *Binding, err error) {
	revision, err := s.update(ctx, func(t *txn) error {
		b, at, err := t.pinned(id, instance)
		if err != nil {
			return err
		}
		confirmed = b.binding(at)
		same := len(b.Offered) == 0 && b.Seen.Epoch == seen.Epoch && b.Seen.Power == seen.Power
		if same && b.Base != nil && maps.Equal(b.Base, base) && !b.TakeOver {
			return errUnchanged
		}
		if err := t.rebase(id, b, base); err != nil {
			return err
		}
		b.Offered = nil
		b.Revision, b.TakeOver, b.Seen = or(b.Revision, at), false, seen
		confirmed = b.binding(b.Revision)
		t.event = Event{Kind: KindVM, ID: id, Action: ActionConfirm}
		return t.write(bindingKey(id), b)
	})
	if err != nil {
		return nil, err
	}
	confirmed.Revision = or(confirmed.Revision, revision)
	return confirmed, nil
}

// Offer notes that the VM is about to be given these read-write fields, each with its digest. Until Confirm it is not known whether it
// took them, and whoever finds them there knows that no guest reported them. replaced are the digests of what it holds and nobody
// accepted: they are remembered as earlier ones are, and are no news when a snapshot brings them back. Errors are those of Confirm.
func (s *Store) Offer(ctx context.Context, id, instance string, fields, replaced map[string]string) (*Binding, error) {
	var offered *Binding
	_, err := s.update(ctx, func(t *txn) error {
		b, at, err := t.pinned(id, instance)
		if err != nil {
			return err
		}
		b.Revision = or(b.Revision, at)
		earlier := remember(b.Earlier, fields, b.Offered, replaced)
		b.Offered, b.Earlier = fields, earlier
		offered = b.binding(b.Revision)
		t.event = Event{Kind: KindVM, ID: id, Action: ActionOffer}
		return t.write(bindingKey(id), b)
	})
	return offered, err
}

// rebase gives a binding a new base, and remembers what was in the old one.
func (t *txn) rebase(id string, b *bindingRecord, base map[string]string) error {
	earlier := remember(b.Earlier, base, b.Base, b.Offered)
	b.Base, b.Earlier = base, earlier
	if earlier == nil {
		return nil
	}
	e, err := t.load(id)
	if err != nil || e == nil {
		return err
	}
	// Of entries that are gone nothing is remembered: execs come and go.
	maps.DeleteFunc(earlier, func(field string, _ []string) bool { return !hasEntry(e.Config, field) })
	return nil
}

// remember adds digests to those that fields had earlier, but for those that they have now.
func remember(earlier map[string][]string, now map[string]string, had ...map[string]string) map[string][]string {
	earlier = maps.Clone(earlier)
	for _, fields := range had {
		for field, digest := range fields {
			if digest == now[field] {
				continue
			}
			list := slices.DeleteFunc(slices.Clone(earlier[field]), func(d string) bool { return d == digest })
			list = append(list, digest)
			if earlier == nil {
				earlier = map[string][]string{}
			}
			earlier[field] = list[max(0, len(list)-maxEarlier):]
		}
	}
	return earlier
}

// hasEntry reports whether the entry of a map that a field lies in is there. A name may have dots.
func hasEntry(c *executor.ExecutorConfig, field string) bool {
	kind, rest, _ := strings.Cut(field, ".")
	switch kind {
	case "sessions":
		return names(c.Sessions, rest)
	case "execs":
		return names(c.Execs, rest)
	case "networks":
		return names(c.Networks, rest)
	}
	return true
}

func names[V any](entries map[string]V, path string) bool {
	for name := range entries {
		if strings.HasPrefix(path, name+".") {
			return true
		}
	}
	return false
}

// pinned reads a binding that must be to an instance.
func (t *txn) pinned(id, instance string) (*bindingRecord, uint64, error) {
	var b bindingRecord
	at, found, err := t.read(bindingKey(id), &b)
	switch {
	case err != nil:
		return nil, 0, err
	case !found:
		return nil, 0, ErrUnbound
	case b.Instance != instance:
		return nil, 0, ErrConflict
	}
	return &b, at, nil
}

// Report stores what a guest reported. apply sets the fields on a copy of the configuration and names those that changed;
// base are the read-write fields that were last pushed or accepted, these among them, and is looked at after apply, which may
// complete it. seen is the sighting that they belong to. apply may be called more than once. Errors: executor.Faults when the report
// is not valid, ErrNotFound, and those of Confirm.
func (s *Store) Report(ctx context.Context, id, instance string, base map[string]string, seen Sighting, apply func(*executor.ExecutorConfig) ([]string, error)) (e *Executor, err error) {
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.load(id)
		if err != nil || old == nil {
			return firstOf(err, notFound("executor", id))
		}
		b, boundAt, err := t.pinned(id, instance)
		if err != nil {
			return err
		}
		next := old.Config.Clone()
		if _, err = apply(next); err != nil {
			return err
		}
		next.Canonicalize()
		if e, err = s.replaceExecutor(t, old, next, ActionReport, &writeOptions{}); err != nil {
			return err
		}
		if err := t.rebase(id, b, base); err != nil {
			return err
		}
		b.Revision, b.Seen = or(b.Revision, boundAt), seen
		e.Binding = b.binding(b.Revision)
		return t.write(bindingKey(id), b)
	})
	return settled(e, revision, err)
}

// CheckReport answers what Report would, and commits nothing.
func (s *Store) CheckReport(ctx context.Context, id string, apply func(*executor.ExecutorConfig) ([]string, error)) (e *Executor, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		t := s.newTxn(snap)
		old, err := t.load(id)
		if err != nil || old == nil {
			return firstOf(err, notFound("executor", id))
		}
		next := old.Config.Clone()
		if _, err = apply(next); err != nil {
			return err
		}
		next.Canonicalize()
		if e, err = s.replaceExecutor(t, old, next, ActionReport, &writeOptions{}); errors.Is(err, errUnchanged) {
			return nil
		}
		if err == nil {
			e.settle(snap.Revision())
		}
		return err
	})
	return e, err
}
