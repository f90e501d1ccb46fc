package store

import (
	"context"
	"errors"
	"maps"
	"reflect"

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
}

// Unbinding is a VM that an executor was delivered to and is not any more. It still has to be seen clean.
type Unbinding struct {
	Executor, Driver, Ref, Instance string
	Revision                        uint64
}

// Validate checks what a client says of a binding.
func (b *Binding) Validate() error {
	var faults executor.Faults
	if b.Driver == "" {
		faults.Add("driver", "must name a driver")
	}
	if b.Ref == "" {
		faults.Add("ref", "must name a VM")
	}
	var more executor.Faults
	if err := b.VM.Validate(); err != nil && !errors.As(err, &more) {
		return err
	}
	return append(faults, more...).Err()
}

// Bind binds an executor to a VM, or replaces its binding. The VM of the old one still has to be cleaned: see
// Unbindings. The same reference keeps the VM that it was resolved to. Errors: executor.Faults, ErrNotFound, *ClaimedError.
func (s *Store) Bind(ctx context.Context, id string, b Binding) (e *Executor, created bool, err error) {
	revision, err := s.update(ctx, func(t *txn) error {
		kv, found, err := t.get(executorKey(id))
		if err != nil || !found {
			return firstOf(err, notFound("executor", id))
		}
		if e, err = t.executor(kv); err != nil {
			return err
		}
		var old bindingRecord
		at, found, err := t.read(bindingKey(id), &old)
		if err != nil {
			return err
		}
		t.event = Event{Kind: KindVM, ID: id, Name: e.Config.Name, Action: ActionBind}
		if created = !found; created {
			e.Binding, err = s.bind(t, id, nil, 0, b)
		} else {
			e.Binding, err = s.bind(t, id, &old, at, b)
		}
		return err
	})
	e, err = s.settled(e, revision, err)
	return e, created, err
}

// bind claims the VM for an executor, and lets go of the one it had.
func (s *Store) bind(t *txn, id string, old *bindingRecord, at uint64, b Binding) (*Binding, error) {
	vm := b.VM.Clone()
	vm.Canonicalize()
	if err := b.Validate(); err != nil {
		return nil, err
	}
	rec := &bindingRecord{Driver: b.Driver, Ref: canonicalRef(b.Ref), VM: *vm, TakeOver: b.TakeOver}
	if old != nil && old.Driver == rec.Driver && (old.Ref == rec.Ref || old.Instance == rec.Ref) {
		rec.Instance, rec.Base = old.Instance, old.Base
		if same := *old; rec.Ref == same.Ref && rec.TakeOver == same.TakeOver && reflect.DeepEqual(rec.VM, same.VM) {
			return same.binding(at), errUnchanged
		}
	} else if old != nil {
		if err := t.leave(id, old); err != nil {
			return nil, err
		}
	}
	if err := t.claim(id, rec.Driver, rec.Ref); err != nil {
		return nil, err
	}
	if old != nil && rec.Instance != "" && old.Ref != rec.Ref && old.Ref != rec.Instance {
		t.delete(claimKey(old.Driver, old.Ref))
	}
	if err := t.write(bindingKey(id), rec); err != nil {
		return nil, err
	}
	return rec.binding(0), nil
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
	return t.write(unbindingKey(b.Driver, b.Instance), &unbindingRecord{Executor: id, Driver: b.Driver, Ref: b.Ref, Instance: b.Instance})
}

// Unbind removes an executor's binding. The VM still has to be cleaned: see Unbindings. Errors: ErrNotFound, ErrUnbound.
func (s *Store) Unbind(ctx context.Context, id string) error {
	_, err := s.update(ctx, func(t *txn) error {
		var rec executorRecord
		_, found, err := t.read(executorKey(id), &rec)
		if err != nil || !found {
			return firstOf(err, notFound("executor", id))
		}
		t.event = Event{Kind: KindVM, ID: id, Name: rec.Config.Name, Action: ActionUnbind}
		return s.unbind(t, id)
	})
	return err
}

func (s *Store) unbind(t *txn, id string) error {
	var old bindingRecord
	_, found, err := t.read(bindingKey(id), &old)
	if err != nil || !found {
		return firstOf(err, ErrUnbound)
	}
	t.delete(bindingKey(id))
	return t.leave(id, &old)
}

// Pin notes which VM a binding's reference was resolved to: from now on it is that one, whatever the reference may come to
// mean. Errors: ErrUnbound, *ClaimedError.
func (s *Store) Pin(ctx context.Context, id, instance string) error {
	_, err := s.update(ctx, func(t *txn) error {
		var b bindingRecord
		at, found, err := t.read(bindingKey(id), &b)
		if err != nil || !found {
			return firstOf(err, ErrUnbound)
		}
		if b.Instance == instance {
			return errUnchanged
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

// Confirm notes that the VM was seen to hold the read-write fields of base. ErrConflict when the executor is bound to
// another VM by now, ErrUnbound when it is to none.
func (s *Store) Confirm(ctx context.Context, id, instance string, base map[string]string) error {
	_, err := s.update(ctx, func(t *txn) error {
		b, at, err := t.pinned(id, instance)
		if err != nil {
			return err
		}
		if b.Base != nil && maps.Equal(b.Base, base) && !b.TakeOver {
			return errUnchanged
		}
		b.Revision, b.Base, b.TakeOver = or(b.Revision, at), base, false
		t.event = Event{Kind: KindVM, ID: id, Action: ActionConfirm}
		return t.write(bindingKey(id), b)
	})
	return err
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
// base are the read-write fields of the VM with the report accepted. It may be called more than once. Errors:
// executor.Faults when the report is not valid, ErrNotFound, and those of Confirm.
func (s *Store) Report(ctx context.Context, id, instance string, base map[string]string, apply func(*executor.ExecutorConfig) ([]string, error)) (e *Executor, err error) {
	revision, err := s.update(ctx, func(t *txn) error {
		var old executorRecord
		at, found, err := t.read(executorKey(id), &old)
		if err != nil || !found {
			return firstOf(err, notFound("executor", id))
		}
		b, boundAt, err := t.pinned(id, instance)
		if err != nil {
			return err
		}
		next, err := t.resolved(old.Config)
		if err != nil {
			return err
		}
		if _, err = apply(next); err != nil {
			return err
		}
		next.Canonicalize()
		if e, err = s.replaceExecutor(t, &old, at, next, ActionReport); err != nil {
			return err
		}
		b.Revision, b.Base = or(b.Revision, boundAt), base
		e.Binding = b.binding(b.Revision)
		return t.write(bindingKey(id), b)
	})
	return s.settled(e, revision, err)
}

// Unbindings gives the VMs that still have to be cleaned.
func (s *Store) Unbindings(ctx context.Context) (list []Unbinding, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		for kv, err := range snap.Range("unbinding/") {
			if err != nil {
				return err
			}
			var rec unbindingRecord
			if err := decode(kv, &rec); err != nil {
				return err
			}
			list = append(list, Unbinding{Executor: rec.Executor, Driver: rec.Driver, Ref: rec.Ref, Instance: rec.Instance, Revision: kv.Revision})
		}
		return nil
	})
	return list, err
}

// Cleaned forgets an unbinding whose VM was seen without any key of ours.
func (s *Store) Cleaned(ctx context.Context, driver, instance string) error {
	_, err := s.update(ctx, func(t *txn) error {
		var rec unbindingRecord
		_, found, err := t.read(unbindingKey(driver, instance), &rec)
		if err != nil || !found {
			return firstOf(err, errUnchanged)
		}
		t.delete(unbindingKey(driver, instance))
		t.event = Event{Kind: KindVM, ID: rec.Executor, Action: ActionClean}
		return nil
	})
	return err
}

// binding makes a Binding of its record, which was read at a revision.
func (b *bindingRecord) binding(at uint64) *Binding {
	return &Binding{Driver: b.Driver, Ref: b.Ref, VM: b.VM, TakeOver: b.TakeOver, Instance: b.Instance, Base: b.Base, Revision: or(b.Revision, at)}
}

// binding reads an executor's binding; nil when it is unbound.
func (t *txn) binding(id string) (*Binding, error) {
	var rec bindingRecord
	at, found, err := t.read(bindingKey(id), &rec)
	if err != nil || !found {
		return nil, err
	}
	return rec.binding(at), nil
}
