package store

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/executor"
)

// Network is a container network that executors can follow, as it stands at a revision. It is shared: nobody changes it.
type Network struct {
	Config      *executor.ContainerNetwork
	Annotations map[string]string // for clients; in the store alone
	CreateTime  time.Time         // when it was created; set by the store unless a client did
	Revision    uint64
}

// CreateNetwork stores a new container network. Errors: executor.Faults, ErrExists.
func (s *Store) CreateNetwork(ctx context.Context, n Network) (*Network, error) {
	made, _, err := s.writeNetwork(ctx, n, false)
	return made, err
}

// PutNetwork replaces a container network, or creates it. Every executor that follows it has other desired keys from this
// revision on, without a commit of its own. Errors: executor.Faults.
func (s *Store) PutNetwork(ctx context.Context, n Network) (_ *Network, created bool, err error) {
	return s.writeNetwork(ctx, n, true)
}

func (s *Store) writeNetwork(ctx context.Context, n Network, replace bool) (_ *Network, created bool, err error) {
	next := &networkRecord{Config: n.Config.Clone(), Annotations: maps.Clone(n.Annotations), CreateTime: n.CreateTime.UTC().Round(0)}
	next.Config.Canonicalize()
	if len(next.Annotations) == 0 {
		next.Annotations = nil
	}
	if err := s.checkNetwork(next); err != nil {
		return nil, false, err
	}
	name := next.Config.Name
	made := &Network{Config: next.Config, Annotations: next.Annotations, CreateTime: next.CreateTime}
	revision, err := s.update(ctx, func(t *txn) error {
		var old networkRecord
		at, found, err := t.read(networkKey(name), &old)
		if err != nil {
			return err
		}
		if created = !found; !created && !replace {
			return fmt.Errorf("container network %q: %w", name, ErrExists)
		}
		rec := *next
		if rec.CreateTime.IsZero() {
			if rec.CreateTime = old.CreateTime; created {
				rec.CreateTime = s.now().UTC().Round(0)
			}
		}
		made.CreateTime = rec.CreateTime
		t.event = Event{Kind: KindNetwork, ID: name, Name: name, Action: ActionCreate}
		if !created {
			if t.event.Fields = changedFields(&old, &rec); len(t.event.Fields) == 0 {
				made.Revision = at
				return errUnchanged
			}
			t.event.Action = ActionUpdate
		}
		made.Revision = 0
		return t.write(networkKey(name), &rec)
	})
	if err != nil {
		return nil, false, err
	}
	made.Revision = or(made.Revision, revision)
	return made, created, nil
}

func changedFields(old, next *networkRecord) []string {
	var changes []change
	var top place
	compare(top, reflect.ValueOf(*old.Config), reflect.ValueOf(*next.Config), &changes)
	compare(top.step("annotations"), reflect.ValueOf(old.Annotations), reflect.ValueOf(next.Annotations), &changes)
	compare(top.step("createTime"), reflect.ValueOf(old.CreateTime), reflect.ValueOf(next.CreateTime), &changes)
	var fields []string
	for _, c := range changes {
		fields = append(fields, c.path)
	}
	slices.Sort(fields)
	return fields
}

// DeleteNetwork removes a container network that no endpoint follows. Errors: ErrNotFound, *InUseError.
func (s *Store) DeleteNetwork(ctx context.Context, name string) error {
	_, err := s.update(ctx, func(t *txn) error {
		if _, found, err := t.get(networkKey(name)); err != nil || !found {
			return firstOf(err, notFound("container network", name))
		}
		refs, err := t.below(followersKey(name))
		if err != nil {
			return err
		}
		if len(refs) > 0 {
			return &InUseError{Network: name, By: holders(refs)}
		}
		t.delete(networkKey(name))
		t.event = Event{Kind: KindNetwork, ID: name, Name: name, Action: ActionDelete}
		return nil
	})
	return err
}

// Network gives one container network; ErrNotFound.
func (s *Store) Network(ctx context.Context, name string) (n *Network, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		kv, found, err := snap.Get(networkKey(name))
		if err != nil || !found {
			return firstOf(err, notFound("container network", name))
		}
		n, err = network(kv)
		return err
	})
	return n, err
}

// Networks gives all container networks by name, and the one revision at which they stand so.
func (s *Store) Networks(ctx context.Context) (list []*Network, revision uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		revision = snap.Revision()
		for kv, err := range snap.Range(networkKey("")) {
			if err != nil {
				return err
			}
			n, err := network(kv)
			if err != nil {
				return err
			}
			list = append(list, n)
		}
		return nil
	})
	return list, revision, err
}

// ExecutorsOn gives the ids of the executors that follow a container network, in order.
func (s *Store) ExecutorsOn(ctx context.Context, name string) (ids []string, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		refs, err := collect(snap, followersKey(name))
		for _, holder := range holders(refs) {
			ids = append(ids, executorOf(holder))
		}
		ids = slices.Compact(ids)
		return err
	})
	return ids, err
}

func network(kv KV) (*Network, error) {
	var rec networkRecord
	if err := decode(kv, &rec); err != nil {
		return nil, err
	}
	return &Network{Config: rec.Config, Annotations: rec.Annotations, CreateTime: rec.CreateTime, Revision: kv.Revision}, nil
}

// network reads a container network once in a transaction; nil when there is none.
func (t *txn) network(name string) (*Network, error) {
	if n, ok := t.networks[name]; ok {
		return n, nil
	}
	kv, found, err := t.get(networkKey(name))
	if err != nil {
		return nil, err
	}
	var n *Network
	if found {
		if n, err = network(kv); err != nil {
			return nil, err
		}
	}
	t.networks[name] = n
	return n, nil
}
