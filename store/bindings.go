package store

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/vmexecutor/config-server/executor"
)

// Binding says which VM an executor is delivered to.
type Binding struct {
	Driver   string // the kind of VM
	Ref      string // names the VM to its driver
	VM       executor.ContainerVM
	TakeOver bool              // deliver even to a VM that holds another executor; forgotten after the first push
	Instance string            // the VM that Ref was resolved to, for good; empty until then
	Base     map[string]string // read-write fields as last pushed or accepted (KeySet.Fields); nil before the first push
	Revision uint64            // of the last change by a client

	Seen    Sighting            // goes with Base
	Earlier map[string][]string // digests that read-write fields had in Base before, the latest last
	Offered map[string]string   // read-write fields that a push began to set, and of which it is not known yet whether it did
}

// Bind binds an executor to a VM, or replaces its binding. The VM of the old one still has to be cleaned: see
// Unbindings. The same reference keeps the VM that it was resolved to. Errors: executor.Faults, ErrNotFound, *ClaimedError,
// ErrSecrets, and *PreconditionError, which is about the binding.
func (s *Store) Bind(ctx context.Context, id string, b Binding, opts ...WriteOption) (e *Executor, created bool, err error) {
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		loaded, err := t.load(id)
		if err != nil || loaded == nil {
			return firstOf(err, notFound("executor", id))
		}
		if err := o.check(loaded.Binding); err != nil {
			return err
		}
		next := b // and not b itself: it may come to this again
		if err := next.restore(loaded.Binding); err != nil {
			return err
		}
		if err := o.checkSecrets(loaded, &next); err != nil {
			return err
		}
		e = loaded
		var old bindingRecord
		at, found, err := t.read(bindingKey(id), &old)
		if err != nil {
			return err
		}
		t.event = Event{Kind: KindVM, ID: id, Name: e.Config.Name, Action: ActionBind}
		if created = !found; created {
			e.Binding, err = t.bind(id, nil, 0, next)
		} else {
			e.Binding, err = t.bind(id, &old, at, next)
		}
		return err
	})
	e, err = settled(e, revision, err)
	return e, created, err
}

// Validate checks what a client says of a binding; its error is executor.Faults.
func (b *Binding) Validate() error { return b.check().Err() }

// check gives what is wrong with a binding.
func (b *Binding) check() (faults executor.Faults) {
	if !executor.ValidName(b.Driver) {
		faults.Add("driver", "must name a driver")
	}
	switch {
	case b.Ref == "" || !utf8.ValidString(b.Ref) || strings.ContainsFunc(b.Ref, unicode.IsControl):
		faults.Add("ref", "must name a VM, without control characters")
	case len(b.Ref) > MaxRef:
		faults.Add("ref", fmt.Sprintf("must have at most %d bytes", MaxRef))
	}
	own, _ := faultsOf(b.VM.Validate()) // it has no other errors
	return append(faults, own...)
}

// bind claims the VM for an executor, and lets go of the one it had. It ends with errUnchanged when the executor is
// bound so already.
func (t *txn) bind(id string, old *bindingRecord, at uint64, b Binding) (*Binding, error) {
	vm := b.VM.Clone()
	vm.Canonicalize()
	rec := &bindingRecord{Driver: b.Driver, Ref: canonicalRef(b.Ref), VM: *vm, TakeOver: b.TakeOver}
	if old != nil && sameVM(old.Driver, old.Ref, old.Instance, &b) {
		rec.Instance, rec.Base, rec.Seen, rec.Earlier, rec.Offered = old.Instance, old.Base, old.Seen, old.Earlier, old.Offered
		rec.TakeOver = b.TakeOver && old.Base == nil // it was forgotten after the first push, and stays so
		if rec.Ref == old.Ref && rec.TakeOver == old.TakeOver && reflect.DeepEqual(rec.VM, old.VM) {
			return old.binding(at), errUnchanged
		}
	} else if old != nil {
		if err := t.leave(id, old); err != nil {
			return nil, err
		}
	}
	if err := t.claim(id, rec.Driver, rec.Ref); err != nil {
		return nil, err
	}
	if old == nil {
		var memory memoryRecord
		if _, _, err := t.read(memoryKey(id), &memory); err != nil {
			return nil, err
		}
		rec.Earlier = memory.Earlier
	} else if rec.Instance == "" {
		rec.Earlier = remember(old.Earlier, nil, old.Base, old.Offered)
	}
	if old != nil && rec.Instance != "" && old.Ref != rec.Ref {
		t.delete(claimKey(old.Driver, old.Ref))
	}
	if err := t.write(bindingKey(id), rec); err != nil {
		return nil, err
	}
	return rec.binding(0), nil
}

// sameVM reports whether b names the VM of a binding: by its reference, or by what that was resolved to.
func sameVM(driver, ref, instance string, b *Binding) bool {
	named := canonicalRef(b.Ref)
	return driver == b.Driver && (ref == named || canonicalRef(instance) == named)
}

// canonicalRef gives the one spelling of a reference that is a UUID.
func canonicalRef(ref string) string {
	if u, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
		return u.String()
	}
	return ref
}

// claim makes a VM an executor's by one of its names; *ClaimedError when it is another's.
func (t *txn) claim(id, driver, ref string) error {
	key := claimKey(driver, ref)
	kv, found, err := t.get(key)
	switch {
	case err != nil:
		return err
	case found && string(kv.Value) != id:
		return &ClaimedError{Ref: ref, Holder: string(kv.Value)}
	}
	t.put(key, []byte(id))
	return nil
}

// leave lets go of the VM of a binding. One that was found may hold our keys, and is noted.
func (t *txn) leave(id string, b *bindingRecord) error {
	t.delete(claimKey(b.Driver, b.Ref))
	if b.Instance == "" {
		return nil
	}
	if b.Instance != b.Ref {
		t.delete(claimKey(b.Driver, b.Instance))
	}
	t.delete(cleanedKey(b.Driver, b.Instance))
	return t.write(unbindingKey(b.Driver, b.Instance), &unbindingRecord{Executor: id, Driver: b.Driver, Ref: b.Ref, Instance: b.Instance})
}

// Unbind removes an executor's binding. The VM still has to be cleaned: see Unbindings. Errors: ErrNotFound, ErrUnbound, and
// *PreconditionError, which is about the binding.
func (s *Store) Unbind(ctx context.Context, id string, opts ...WriteOption) error {
	o := optionsOf(opts)
	_, err := s.update(ctx, func(t *txn) error {
		e, err := t.load(id)
		if err != nil || e == nil {
			return firstOf(err, notFound("executor", id))
		}
		if e.Binding == nil {
			return ErrUnbound
		}
		if err := o.check(e.Binding); err != nil {
			return err
		}
		t.event = Event{Kind: KindVM, ID: id, Name: e.Config.Name, Action: ActionUnbind}
		return t.unbind(id)
	})
	return err
}

func (t *txn) unbind(id string) error {
	var old bindingRecord
	_, found, err := t.read(bindingKey(id), &old)
	if err != nil || !found {
		return firstOf(err, ErrUnbound)
	}
	t.delete(bindingKey(id))
	if earlier := remember(old.Earlier, nil, old.Base, old.Offered); earlier != nil {
		if err := t.write(memoryKey(id), &memoryRecord{Earlier: earlier}); err != nil {
			return err
		}
	}
	return t.leave(id, &old)
}

// Pin notes which VM the reference of a binding was resolved to: from now on it is that one, whatever the reference may
// come to mean. Errors: ErrUnbound; ErrConflict when the executor is bound otherwise by now; *ClaimedError.
func (s *Store) Pin(ctx context.Context, id string, resolved *Binding, instance string) error {
	_, err := s.update(ctx, func(t *txn) error {
		var b bindingRecord
		at, found, err := t.read(bindingKey(id), &b)
		switch {
		case err != nil || !found:
			return firstOf(err, ErrUnbound)
		case b.Driver != resolved.Driver || b.Ref != resolved.Ref:
			return ErrConflict
		case b.Instance == instance:
			return errUnchanged
		case b.Instance != "":
			return ErrConflict
		}
		if err := t.claim(id, b.Driver, instance); err != nil {
			return err
		}
		b.Revision, b.Instance = or(b.Revision, at), instance
		t.event = Event{Kind: KindVM, ID: id, Action: ActionResolve}
		return t.write(bindingKey(id), &b)
	})
	return err
}

// binding makes a Binding of its record, which was read at a revision.
func (b *bindingRecord) binding(at uint64) *Binding {
	return &Binding{
		Driver: b.Driver, Ref: b.Ref, VM: b.VM, TakeOver: b.TakeOver, Instance: b.Instance, Base: b.Base,
		Seen: b.Seen, Earlier: b.Earlier, Offered: b.Offered, Revision: or(b.Revision, at),
	}
}

// binding reads an executor's binding; nil when it is unbound.
func (t *txn) binding(id string) (*Binding, error) {
	kv, found, err := t.get(bindingKey(id))
	if err != nil || !found {
		return nil, err
	}
	rec, err := shared[bindingRecord](t.records, kv)
	if err != nil {
		return nil, err
	}
	return rec.binding(kv.Revision), nil
}
