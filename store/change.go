package store

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/vmexecutor/config-server/executor"
)

// createExecutor writes a new executor, and its binding when b is not nil.
func (s *Store) createExecutor(t *txn, next *executor.ExecutorConfig, b *Binding, o *writeOptions) (*Executor, error) {
	rec := &executorRecord{Config: unresolved(next), SecretKey: random(32), Entries: entryRevisions(nil, next, nil)}
	faults := rec.Config.Restore(&executor.ExecutorConfig{})
	if b != nil {
		own := append(b.check(), b.VM.Clone().Restore(&executor.ContainerVM{}, false)...)
		for _, f := range own {
			faults.Add(executor.Path("vm", f.Field), f.Message)
		}
	}
	e, err := t.checked(rec, faults)
	if err != nil {
		return nil, err
	}
	if err := s.checkSize(rec.Config, rec.SecretKey); err != nil {
		return nil, err
	}
	if err := o.checkName(t, next); err != nil {
		return nil, err
	}
	if b != nil {
		if e.Binding, err = t.bind(next.ID, nil, 0, *b); err != nil {
			return nil, err
		}
	}
	if err := t.reindex(nil, rec.Config); err != nil {
		return nil, err
	}
	t.event = Event{Kind: KindExecutor, ID: next.ID, Name: next.Name, Action: ActionCreate}
	t.moves(nil, next)
	return e, t.write(executorKey(next.ID), rec)
}

// replaceExecutor writes a new state of an executor. It ends with errUnchanged when the state is the old one.
func (s *Store) replaceExecutor(t *txn, old *Executor, next *executor.ExecutorConfig, action string, o *writeOptions) (*Executor, error) {
	rec := &executorRecord{Config: unresolved(next), SecretKey: old.SecretKey}
	e, err := t.checked(rec, rec.Config.Restore(old.Config))
	if err != nil {
		return nil, err
	}
	if err := o.checkName(t, next); err != nil {
		return nil, err
	}
	changes := diff(old.Config, e.Config)
	if len(changes) == 0 {
		return old, errUnchanged
	}
	if err := s.checkSize(rec.Config, rec.SecretKey); err != nil {
		return nil, err
	}
	e.Binding = old.Binding
	if e.Boots, err = t.keepBoots(old, next); err != nil {
		return nil, err
	}
	// What differs from the old state beyond reports is configuration.
	was, config := old.stored.Config, rec.Config.Clone()
	s.codec.CopyReports(config, was)
	if reflect.DeepEqual(config, was) {
		rec.ConfigRevision = or(old.stored.ConfigRevision, old.at)
	}
	rec.Entries = entryRevisions(old, rec.Config, config)
	if err := t.reindex(was, rec.Config); err != nil {
		return nil, err
	}
	t.event = Event{Kind: KindExecutor, ID: next.ID, Name: next.Name, Action: action}
	t.event.Fields, t.event.Values = s.described(changes)
	t.moves(was, next)
	return e, t.write(executorKey(next.ID), rec)
}

// checked makes an executor of a record that is to be written, when it is valid. The faults that were found before are told with
// its own.
func (t *txn) checked(rec *executorRecord, found executor.Faults) (*Executor, error) {
	faults, err := faultsOf(rec.Config.Validate())
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Config.Networks)) {
		ref := rec.Config.Networks[name].NetworkRef
		if ref == "" || !executor.ValidName(ref) {
			continue
		}
		n, err := t.network(ref)
		if err != nil {
			return nil, err
		}
		if n == nil {
			faults.Add(executor.Path("networks", name, "networkRef"), fmt.Sprintf("there is no container network %q", ref))
		}
	}
	if err := append(faults, found...).Err(); err != nil {
		return nil, err
	}
	return t.resolve(rec)
}

func (o *writeOptions) checkName(t *txn, c *executor.ExecutorConfig) error {
	if !o.uniqueName {
		return nil
	}
	return t.checkName(c.Name, c.ID)
}

// resolve makes an executor of a record: each endpoint holds the container network that it follows, as that stands now.
// The aliases, the default route and what the guest found remain the endpoint's own.
func (t *txn) resolve(rec *executorRecord) (*Executor, error) {
	e := &Executor{Config: rec.Config, SecretKey: rec.SecretKey, stored: rec}
	for name, endpoint := range rec.Config.Networks {
		ref := endpoint.NetworkRef
		if ref == "" {
			continue
		}
		n, err := t.network(ref)
		if err != nil {
			return nil, err
		}
		if n == nil {
			return nil, fmt.Errorf("executor %s refers to container network %q, which is gone", rec.Config.ID, ref)
		}
		if e.follows == nil {
			e.follows = map[string]uint64{}
			config := *rec.Config
			config.Networks = maps.Clone(config.Networks)
			e.Config = &config
		}
		e.follows[ref] = n.Revision
		following, own := *endpoint, endpoint.Network
		following.Network = *n.Config
		following.Network.Aliases, following.Network.Default, following.Network.Assigned = own.Aliases, own.Default, own.Assigned
		e.Config.Networks[name] = &following
	}
	return e, nil
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
