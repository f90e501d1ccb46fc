package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Executor is an executor as it stands at a revision. It is shared: nobody changes it.
type Executor struct {
	Config         *executor.ExecutorConfig // canonical; endpoints hold the container networks they follow
	Revision       uint64                   // the larger of its own and those of the networks it follows
	ConfigRevision uint64                   // the same, without the guest's reports
	Binding        *Binding                 // nil: unbound
	SecretKey      []byte                   // seals the secret values of its key set; made with the executor
}

// CreateExecutor stores a new executor, bound to a VM when b is not nil, all in one commit. Without an id it gets one of
// 64 hexadecimal digits. Errors: executor.Faults, ErrExists, *ClaimedError.
func (s *Store) CreateExecutor(ctx context.Context, cfg *executor.ExecutorConfig, b *Binding) (*Executor, error) {
	cfg = cfg.Clone()
	if cfg.ID == "" {
		cfg.ID = hex.EncodeToString(random(32))
	}
	var made *Executor
	revision, err := s.update(ctx, func(t *txn) (err error) {
		if _, found, err := t.get(executorKey(cfg.ID)); err != nil || found {
			return firstOf(err, fmt.Errorf("executor %q: %w", cfg.ID, ErrExists))
		}
		made, err = s.createExecutor(t, cfg, b)
		return err
	})
	return s.settled(made, revision, err)
}

// PutExecutor replaces the configuration of an executor and leaves the guest's reports as they are, or creates it.
// Errors: executor.Faults.
func (s *Store) PutExecutor(ctx context.Context, cfg *executor.ExecutorConfig) (e *Executor, created bool, err error) {
	cfg = cfg.Clone()
	revision, err := s.update(ctx, func(t *txn) (err error) {
		var old executorRecord
		at, found, err := t.read(executorKey(cfg.ID), &old)
		if err != nil {
			return err
		}
		if created = !found; created {
			e, err = s.createExecutor(t, cfg, nil)
			return err
		}
		next := cfg.Clone()
		next.Canonicalize()
		before, err := t.resolved(old.Config)
		if err != nil {
			return err
		}
		s.codec.CopyReports(next, before)
		e, err = s.replaceExecutor(t, &old, at, next, ActionUpdate)
		return err
	})
	e, err = s.settled(e, revision, err)
	return e, created, err
}

// settled completes what a transaction made with the revision it got: 0 stands for it until then.
func (s *Store) settled(e *Executor, revision uint64, err error) (*Executor, error) {
	if err != nil {
		return nil, err
	}
	e.Revision, e.ConfigRevision = or(e.Revision, revision), or(e.ConfigRevision, revision)
	if e.Binding != nil {
		e.Binding.Revision = or(e.Binding.Revision, revision)
	}
	return e, nil
}

func (s *Store) createExecutor(t *txn, cfg *executor.ExecutorConfig, b *Binding) (*Executor, error) {
	next := cfg.Clone()
	next.Canonicalize()
	rec := &executorRecord{SecretKey: random(32)}
	e, err := s.storeExecutor(t, rec, next)
	if err != nil {
		return nil, err
	}
	rec.Entries = map[string]entryRevision{}
	for name := range entriesOf(next) {
		rec.Entries[name] = entryRevision{}
	}
	t.event = Event{Kind: KindExecutor, ID: next.ID, Name: next.Name, Action: ActionCreate}
	if err := t.write(executorKey(next.ID), rec); err != nil {
		return nil, err
	}
	if b != nil {
		if e.Binding, err = s.bind(t, next.ID, nil, 0, *b); err != nil {
			return nil, err
		}
		e.Binding.Revision = 0
	}
	return e, nil
}

// replaceExecutor writes a new state of an executor whose record was read at a revision. It ends with errUnchanged
// when the state is the old one.
func (s *Store) replaceExecutor(t *txn, old *executorRecord, at uint64, next *executor.ExecutorConfig, action string) (*Executor, error) {
	binding, err := t.binding(next.ID)
	if err != nil {
		return nil, err
	}
	rec := &executorRecord{SecretKey: old.SecretKey}
	e, err := s.storeExecutor(t, rec, next)
	if err != nil {
		return nil, err
	}
	e.Binding = binding
	changes := diff(old.Config, rec.Config)
	if len(changes) == 0 {
		e.Revision, e.ConfigRevision = t.revisions(rec.Config, at, or(old.ConfigRevision, at))
		return e, errUnchanged
	}
	// What differs from the old state beyond reports is configuration.
	config := rec.Config.Clone()
	s.codec.CopyReports(config, old.Config)
	if reflect.DeepEqual(config, old.Config) {
		rec.ConfigRevision = or(old.ConfigRevision, at)
		_, e.ConfigRevision = t.revisions(rec.Config, at, rec.ConfigRevision)
	}
	rec.Entries = entryRevisions(old, at, rec.Config, config)
	t.event = Event{Kind: KindExecutor, ID: next.ID, Name: next.Name, Action: action}
	s.describe(t, e, changes)
	for name := range references(old.Config) {
		if !references(rec.Config)[name] {
			t.delete(referenceKey(name, next.ID))
		}
	}
	return e, t.write(executorKey(next.ID), rec)
}

// storeExecutor checks a new state, puts it into the record without what follows a network, and refers to its networks.
// The executor it answers has no revisions yet.
func (s *Store) storeExecutor(t *txn, rec *executorRecord, next *executor.ExecutorConfig) (*Executor, error) {
	var faults executor.Faults
	if err := next.Validate(); err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	rec.Config = unresolved(next)
	for _, name := range slices.Sorted(maps.Keys(next.Networks)) {
		endpoint := next.Networks[name]
		if endpoint.NetworkRef == "" {
			continue
		}
		n, err := t.network(endpoint.NetworkRef)
		if err != nil {
			return nil, err
		}
		if n == nil {
			faults.Add(executor.Path("networks", name, "networkRef"), fmt.Sprintf("there is no container network %q", endpoint.NetworkRef))
			continue
		}
		t.put(referenceKey(endpoint.NetworkRef, next.ID), []byte{recordFormat})
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	config, err := t.resolved(rec.Config)
	if err != nil {
		return nil, err
	}
	e := &Executor{Config: config, SecretKey: rec.SecretKey}
	return e, s.checkSize(e)
}

// checkSize refuses what cannot travel: a value or a key set that is too large, and whatever the codec refuses.
func (s *Store) checkSize(e *Executor) error {
	keys, err := s.KeySet(e)
	if err != nil {
		return codecFault(err)
	}
	var faults executor.Faults
	for p := range keys.All() {
		if len(p.Value) > MaxValue {
			faults.Add(p.Field(), fmt.Sprintf("takes %d bytes in the VM, and no value may take more than %d", len(p.Value), MaxValue))
		}
	}
	if size := keys.Size(); size > MaxKeySet {
		faults.Add("", fmt.Sprintf("the executor takes %d bytes in the VM, and may take no more than %d", size, MaxKeySet))
	}
	return faults.Err()
}

// DeleteExecutor removes an executor and its binding. A VM that it was delivered to still has to be cleaned: see Unbindings.
func (s *Store) DeleteExecutor(ctx context.Context, id string) error {
	_, err := s.update(ctx, func(t *txn) error {
		var rec executorRecord
		_, found, err := t.read(executorKey(id), &rec)
		if err != nil || !found {
			return firstOf(err, notFound("executor", id))
		}
		if err := s.unbind(t, id); err != nil && !errors.Is(err, ErrUnbound) {
			return err
		}
		for name := range references(rec.Config) {
			t.delete(referenceKey(name, id))
		}
		t.delete(executorKey(id))
		t.event = Event{Kind: KindExecutor, ID: id, Name: rec.Config.Name, Action: ActionDelete}
		return nil
	})
	return err
}

// Executor gives one executor; ErrNotFound.
func (s *Store) Executor(ctx context.Context, id string) (e *Executor, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		kv, found, err := snap.Get(executorKey(id))
		if err != nil || !found {
			return firstOf(err, notFound("executor", id))
		}
		t := &txn{snap: snap, networks: map[string]*Network{}}
		e, err = t.executor(kv)
		return err
	})
	return e, err
}

// Executors gives all executors by id, and the one revision at which they stand so.
func (s *Store) Executors(ctx context.Context) (list []*Executor, revision uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		revision = snap.Revision()
		t := &txn{snap: snap, networks: map[string]*Network{}}
		for kv, err := range snap.Range(executorKey("")) {
			if err != nil {
				return err
			}
			e, err := t.executor(kv)
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return nil
	})
	return list, revision, err
}

// executor makes an executor of its record.
func (t *txn) executor(kv KV) (*Executor, error) {
	var rec executorRecord
	if err := decode(kv, &rec); err != nil {
		return nil, err
	}
	config, err := t.resolved(rec.Config)
	if err != nil {
		return nil, err
	}
	e := &Executor{Config: config, SecretKey: rec.SecretKey}
	e.Revision, e.ConfigRevision = t.revisions(rec.Config, kv.Revision, or(rec.ConfigRevision, kv.Revision))
	e.Binding, err = t.binding(rec.Config.ID)
	return e, err
}

// revisions gives the larger of an executor's own revisions and those of the networks it follows, which were looked at.
func (t *txn) revisions(c *executor.ExecutorConfig, revision, config uint64) (uint64, uint64) {
	for name := range references(c) {
		if n := t.networks[name]; n != nil {
			revision, config = max(revision, n.Revision), max(config, n.Revision)
		}
	}
	return revision, config
}

// resolved gives a copy of a stored configuration in which each endpoint holds the container network it follows, as that
// stands now. The aliases, the default route and what the guest found remain the endpoint's own.
func (t *txn) resolved(c *executor.ExecutorConfig) (*executor.ExecutorConfig, error) {
	c = c.Clone()
	for _, endpoint := range c.Networks {
		if endpoint.NetworkRef == "" {
			continue
		}
		n, err := t.network(endpoint.NetworkRef)
		if err != nil {
			return nil, err
		}
		if n == nil {
			return nil, fmt.Errorf("executor %s refers to container network %q, which is gone", c.ID, endpoint.NetworkRef)
		}
		own := endpoint.Network
		endpoint.Network = *n.Config.Clone()
		endpoint.Network.Aliases, endpoint.Network.Default, endpoint.Network.Assigned = own.Aliases, own.Default, own.Assigned
	}
	return c, nil
}

// unresolved gives a copy without what follows container networks: that is not stored twice.
func unresolved(c *executor.ExecutorConfig) *executor.ExecutorConfig {
	c = c.Clone()
	for _, endpoint := range c.Networks {
		if endpoint.NetworkRef != "" {
			own := endpoint.Network
			endpoint.Network = executor.ContainerNetwork{Aliases: own.Aliases, Default: own.Default, Assigned: own.Assigned}
		}
	}
	return c
}

// references names the container networks that an executor's endpoints follow.
func references(c *executor.ExecutorConfig) map[string]bool {
	names := map[string]bool{}
	for _, endpoint := range c.Networks {
		if endpoint.NetworkRef != "" {
			names[endpoint.NetworkRef] = true
		}
	}
	return names
}

// entriesOf gives the entries of an executor's maps by map and name.
func entriesOf(c *executor.ExecutorConfig) map[string]any {
	entries := map[string]any{}
	for id, s := range c.Sessions {
		entries["sessions/"+id] = s
	}
	for id, s := range c.Execs {
		entries["execs/"+id] = s
	}
	for name, m := range c.Mounts {
		entries["mounts/"+name] = m
	}
	for name, e := range c.Networks {
		entries["networks/"+name] = e
	}
	return entries
}

// entryRevisions carries over the revisions of the entries that stayed as they were; config is next with the old reports.
func entryRevisions(old *executorRecord, at uint64, next, config *executor.ExecutorConfig) map[string]entryRevision {
	was, is, configured := entriesOf(old.Config), entriesOf(next), entriesOf(config)
	revisions := make(map[string]entryRevision, len(is))
	for name, entry := range is {
		var r entryRevision
		if before, ok := was[name]; ok {
			r = old.Entries[name]
			r.Revision, r.ConfigRevision = or(r.Revision, at), or(r.ConfigRevision, at)
			if !reflect.DeepEqual(before, entry) {
				r.Revision = 0
			}
			if !reflect.DeepEqual(before, configured[name]) {
				r.ConfigRevision = 0
			}
		}
		revisions[name] = r
	}
	return revisions
}

// describe notes in the event what changed, and the new values of read-write fields.
func (s *Store) describe(t *txn, e *Executor, changes []change) {
	keys, err := s.KeySet(e)
	if err != nil {
		return // it was encoded before
	}
	reported := keys.Fields()
	for _, c := range changes {
		t.event.Fields = append(t.event.Fields, c.path)
		if _, ok := reported[c.path]; ok {
			if t.event.Values == nil {
				t.event.Values = map[string]string{}
			}
			t.event.Values[c.path] = c.text()
		}
	}
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

// codecFault turns what the codec refuses into a fault of its field.
func codecFault(err error) error {
	var refused *extraconfig.Error
	if !errors.As(err, &refused) {
		return err
	}
	return executor.Faults{{Field: refused.Field, Message: refused.Reason}}
}
