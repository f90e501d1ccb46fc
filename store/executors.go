package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/vmexecutor/config-server/executor"
)

// Executor is an executor as it stands at a revision. It is shared: nobody changes it.
type Executor struct {
	Config         *executor.ExecutorConfig // canonical; endpoints hold the container networks they follow
	Revision       uint64                   // the larger of its own and those of the networks it follows
	ConfigRevision uint64                   // the same, without the guest's reports
	Binding        *Binding                 // nil: unbound
	SecretKey      executor.Secret          // seals the secret values of its key set; made with the executor
	Boots          map[string]string        // execs that were delivered, each with the boot that it belongs to: see Deliver

	stored  *executorRecord
	at      uint64            // the revision of the record; 0 while its commit is to come
	follows map[string]uint64 // the container networks that it follows, and their revisions
}

// CreateExecutor stores a new executor, bound to a VM when b is not nil, all in one commit. Without an id it gets one of
// 64 hexadecimal digits. Errors: executor.Faults, those of the binding below "vm"; ErrExists, *ClaimedError,
// *AddressError, *NameError.
func (s *Store) CreateExecutor(ctx context.Context, cfg *executor.ExecutorConfig, b *Binding, opts ...WriteOption) (*Executor, error) {
	next := canonical(cfg)
	if next.ID == "" {
		next.ID = hex.EncodeToString(random(32))
	}
	var made *Executor
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		_, found, err := t.get(executorKey(next.ID))
		if err != nil || found {
			return firstOf(err, fmt.Errorf("executor %q: %w", next.ID, ErrExists))
		}
		made, err = s.createExecutor(t, next, b, o)
		return err
	})
	return settled(made, revision, err)
}

// PutExecutor replaces the configuration of an executor and leaves the guest's reports as they are, or creates it.
// An endpoint that stops following a container network holds afterwards what cfg has in its place: what reading the
// executor showed, when the client sends that back; nothing, when cfg has nothing. Errors: executor.Faults, *AddressError,
// *NameError, *PreconditionError.
func (s *Store) PutExecutor(ctx context.Context, cfg *executor.ExecutorConfig, opts ...WriteOption) (e *Executor, created bool, err error) {
	cfg = canonical(cfg)
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.load(cfg.ID)
		if err == nil {
			err = o.check(old)
		}
		if err != nil {
			return err
		}
		if created = old == nil; created {
			e, err = s.createExecutor(t, cfg, nil, o)
			return err
		}
		next := cfg.Clone()
		s.codec.CopyReports(next, old.Config)
		e, err = s.replaceExecutor(t, old, next, ActionUpdate, o)
		return err
	})
	e, err = settled(e, revision, err)
	return e, created, err
}

// UpdateExecutor changes an executor, or entries of its maps, and loses nothing that others change meanwhile. change gets a copy of
// the configuration as it stands, with container networks as they stand in the endpoints that follow them: an endpoint whose
// NetworkRef it empties keeps that as its own. It may set reports, too. It may be called again, with what is there
// then; its error ends the update and is given back as it is. Errors: ErrNotFound, and those of PutExecutor.
func (s *Store) UpdateExecutor(ctx context.Context, id string, change func(*executor.ExecutorConfig) error, opts ...WriteOption) (e *Executor, err error) {
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.load(id)
		if err != nil || old == nil {
			return firstOf(err, notFound("executor", id))
		}
		if err := o.check(old); err != nil {
			return err
		}
		next := old.Config.Clone()
		if err := change(next); err != nil {
			return err
		}
		next.Canonicalize()
		if next.ID == "" {
			next.ID = id
		}
		if next.ID != id {
			return executor.Faults{{Field: "id", Message: "must be the executor's"}}
		}
		if o.keepReports {
			s.codec.CopyReports(next, old.Config)
		}
		e, err = s.replaceExecutor(t, old, next, ActionUpdate, o)
		return err
	})
	return settled(e, revision, err)
}

// DeleteExecutor removes an executor and its binding. A VM that it was delivered to still has to be cleaned: see
// Unbindings. Errors: ErrNotFound, *PreconditionError.
func (s *Store) DeleteExecutor(ctx context.Context, id string, opts ...WriteOption) error {
	o := optionsOf(opts)
	_, err := s.update(ctx, func(t *txn) error {
		e, err := t.load(id)
		if err != nil || e == nil {
			return firstOf(err, notFound("executor", id))
		}
		if err := o.check(e); err != nil {
			return err
		}
		if err := t.unbind(id); err != nil && !errors.Is(err, ErrUnbound) {
			return err
		}
		t.delete(executorKey(id))
		t.delete(memoryKey(id))
		if e.Boots != nil {
			t.delete(bootsKey(id))
		}
		t.event = Event{Kind: KindExecutor, ID: id, Name: e.Config.Name, Action: ActionDelete}
		t.moves(e.stored.Config, nil)
		return t.reindex(e.stored.Config, nil)
	})
	return err
}

// Executor gives one executor; ErrNotFound.
func (s *Store) Executor(ctx context.Context, id string) (e *Executor, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) (err error) {
		if e, err = s.newTxn(snap).load(id); err != nil || e == nil {
			return firstOf(err, notFound("executor", id))
		}
		return nil
	})
	return e, err
}

// Executors calls look with each executor, by id, and gives the one revision at which they stand so. Who does not keep them needs memory
// for one.
func (s *Store) Executors(ctx context.Context, look func(*Executor)) (revision uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		revision = snap.Revision()
		t := s.newTxn(snap)
		for kv, err := range snap.Range(executorKey("")) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			e, err := t.executor(kv)
			if err != nil {
				return err
			}
			look(e)
		}
		return nil
	})
	return revision, err
}

// load reads an executor; nil when there is none.
func (t *txn) load(id string) (*Executor, error) {
	kv, found, err := t.get(executorKey(id))
	if err != nil || !found {
		return nil, err
	}
	rec, err := shared[executorRecord](t.records, kv)
	if err != nil {
		return nil, err
	}
	return t.executorOf(kv, rec)
}

// executor makes an executor of its record. Unlike load it keeps none: whoever goes through all would push out those that are read.
func (t *txn) executor(kv KV) (*Executor, error) {
	rec, err := peek[executorRecord](t.records, kv)
	if err != nil {
		return nil, err
	}
	return t.executorOf(kv, rec)
}

func (t *txn) executorOf(kv KV, rec *executorRecord) (*Executor, error) {
	e, err := t.resolve(rec)
	if err != nil {
		return nil, err
	}
	e.settle(kv.Revision)
	if e.Binding, err = t.binding(rec.Config.ID); err != nil || len(rec.Config.Execs) == 0 {
		return e, err
	}
	kv, found, err := t.get(bootsKey(rec.Config.ID))
	if err != nil || !found {
		return e, err
	}
	boots, err := shared[bootsRecord](t.records, kv)
	if err != nil {
		return nil, err
	}
	e.Boots = boots.Boots
	return e, nil
}

// settle says at which revision the record was committed.
func (e *Executor) settle(at uint64) {
	e.at = at
	t := Tag{or(e.stored.ConfigRevision, at), at}
	for _, revision := range e.follows {
		t = t.raised(revision)
	}
	e.ConfigRevision, e.Revision = t.ConfigRevision, t.Revision
}

// settled completes what a transaction made with the revision that it got.
func settled(e *Executor, revision uint64, err error) (*Executor, error) {
	if err != nil {
		return nil, err
	}
	if e.at == 0 {
		e.settle(revision)
	}
	if e.Binding != nil {
		e.Binding.Revision = or(e.Binding.Revision, revision)
	}
	return e, nil
}

// canonical gives a copy in canonical form.
func canonical(cfg *executor.ExecutorConfig) *executor.ExecutorConfig {
	cfg = cfg.Clone()
	cfg.Canonicalize()
	return cfg
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

func notFound(kind, name string) error { return fmt.Errorf("%s %q: %w", kind, name, ErrNotFound) }

// firstOf gives the first error that there is.
func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
