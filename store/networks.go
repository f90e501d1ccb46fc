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
func (s *Store) CreateNetwork(ctx context.Context, n Network) (made *Network, err error) {
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.network(n.Config.Name)
		if err != nil || old != nil {
			return firstOf(err, fmt.Errorf("container network %q: %w", n.Config.Name, ErrExists))
		}
		made, err = s.writeNetwork(t, nil, n)
		return err
	})
	return settledNetwork(made, revision, err)
}

// PutNetwork replaces a container network, or creates it. Every executor that follows it has other desired keys from this
// revision on, without a commit of its own. Errors: executor.Faults, *PreconditionError.
func (s *Store) PutNetwork(ctx context.Context, n Network, opts ...WriteOption) (made *Network, created bool, err error) {
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.network(n.Config.Name)
		if err == nil {
			err = o.check(old)
		}
		if err != nil {
			return err
		}
		created = old == nil
		made, err = s.writeNetwork(t, old, n)
		return err
	})
	made, err = settledNetwork(made, revision, err)
	return made, created, err
}

// UpdateNetwork changes a container network, and loses nothing that others change meanwhile. change gets a copy of it as it
// stands. It may be called again, with what is there then; its error ends the update and is given back as it
// is. Errors: ErrNotFound, and those of PutNetwork.
func (s *Store) UpdateNetwork(ctx context.Context, name string, change func(*Network) error, opts ...WriteOption) (made *Network, err error) {
	o := optionsOf(opts)
	revision, err := s.update(ctx, func(t *txn) error {
		old, err := t.network(name)
		if err != nil || old == nil {
			return firstOf(err, notFound("container network", name))
		}
		if err := o.check(old); err != nil {
			return err
		}
		next := *old
		next.Config, next.Annotations = old.Config.Clone(), maps.Clone(old.Annotations)
		if err := change(&next); err != nil {
			return err
		}
		if next.Config.Name == "" {
			next.Config.Name = name
		}
		if next.Config.Name != name {
			return executor.Faults{{Field: "name", Message: "must be the container network's"}}
		}
		made, err = s.writeNetwork(t, old, next)
		return err
	})
	return settledNetwork(made, revision, err)
}

// writeNetwork writes a new state of a container network; old is nil when it is made. It ends with errUnchanged when the
// state is the old one. A network without a time of creation keeps the one it has, or gets one.
func (s *Store) writeNetwork(t *txn, old *Network, n Network) (*Network, error) {
	rec := &networkRecord{Config: n.Config.Clone(), Annotations: maps.Clone(n.Annotations), CreateTime: n.CreateTime.UTC().Round(0)}
	rec.Config.Canonicalize()
	if len(rec.Annotations) == 0 {
		rec.Annotations = nil
	}
	switch {
	case !rec.CreateTime.IsZero():
	case old != nil:
		rec.CreateTime = old.CreateTime
	default:
		rec.CreateTime = s.now().UTC().Round(0)
	}
	if err := s.checkNetwork(rec); err != nil {
		return nil, err
	}
	next := &Network{Config: rec.Config, Annotations: rec.Annotations, CreateTime: rec.CreateTime}
	name := rec.Config.Name
	t.event = Event{Kind: KindNetwork, ID: name, Name: name, Action: ActionCreate}
	if old != nil {
		t.event.Action, t.event.Fields = ActionUpdate, changedFields(old, next)
		if len(t.event.Fields) == 0 {
			return old, errUnchanged
		}
	}
	return next, t.write(networkKey(name), rec)
}

// settledNetwork completes what a transaction made with the revision that it got.
func settledNetwork(n *Network, revision uint64, err error) (*Network, error) {
	if err != nil {
		return nil, err
	}
	n.Revision = or(n.Revision, revision)
	return n, nil
}

func changedFields(old, next *Network) []string {
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

// DeleteNetwork removes a container network that no endpoint follows. Errors: ErrNotFound, *InUseError, *PreconditionError.
func (s *Store) DeleteNetwork(ctx context.Context, name string, opts ...WriteOption) error {
	o := optionsOf(opts)
	_, err := s.update(ctx, func(t *txn) error {
		n, err := t.network(name)
		if err != nil || n == nil {
			return firstOf(err, notFound("container network", name))
		}
		if err := o.check(n); err != nil {
			return err
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
		n, err = network(s.records, kv)
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
			n, err := network(s.records, kv)
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
	err = s.engine.View(ctx, func(snap Snapshot) (err error) {
		ids, err = executorsBelow(snap, followersKey(name))
		return err
	})
	return ids, err
}

func network(c *recordCodec, kv KV) (*Network, error) {
	rec, err := shared[networkRecord](c, kv)
	if err != nil {
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
		if n, err = network(t.records, kv); err != nil {
			return nil, err
		}
	}
	t.networks[name] = n
	return n, nil
}
