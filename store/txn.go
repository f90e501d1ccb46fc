package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// txn is a change while it is made: what it read must still hold when it is committed.
type txn struct {
	snap     Snapshot
	compare  []Compare
	ops      []Op
	event    Event
	on, was  []string            // container networks: see noted
	networks map[string]*Network // that were looked at
	records  *recordCodec
	done     bool // it was committed, at the event's revision
}

func (s *Store) newTxn(snap Snapshot) *txn {
	return &txn{snap: snap, networks: map[string]*Network{}, records: s.records}
}

// errUnchanged ends a change that would change nothing.
var errUnchanged = errors.New("nothing would change")

// update makes a change and answers the revision it got, or, when fn ends with errUnchanged, the present one. fn is
// run again when somebody else was quicker; it must have no effect but on t.
func (s *Store) update(ctx context.Context, fn func(t *txn) error) (revision uint64, err error) {
	for {
		t, late, err := s.tryUpdate(ctx, fn)
		if late {
			continue
		}
		if err != nil {
			return 0, err
		}
		if t.done {
			s.committed(ctx, t.event, t.before())
		}
		return t.event.Revision, nil
	}
}

// tryUpdate is an update that comes too late when somebody else was quicker. The event of what it gives has the revision.
func (s *Store) tryUpdate(ctx context.Context, fn func(t *txn) error) (t *txn, late bool, err error) {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	s.listings.changing.RLock()
	defer s.listings.changing.RUnlock()
	var revision uint64
	err = s.engine.View(ctx, func(snap Snapshot) error {
		t = s.newTxn(snap)
		revision = snap.Revision()
		if err := fn(t); err != nil {
			return err
		}
		return s.listings.note(t, s.now())
	})
	if errors.Is(err, errUnchanged) {
		t.event.Revision = revision
		return t, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	t.event.Time = s.now().UTC()
	t.event.Actor = actorOf(ctx)
	event, err := json.Marshal(noted{t.event, t.on, t.was})
	if err != nil {
		return nil, false, fmt.Errorf("encode event: %w", err)
	}
	t.event.Revision, err = s.engine.Commit(ctx, Txn{Compare: t.compare, Ops: t.ops, Event: event})
	t.done = err == nil
	return t, errors.Is(err, ErrConflict), err
}

// before is the revision that the record which the event is about had when the change looked at it; 0 when it had none.
func (t *txn) before() uint64 {
	key := executorKey(t.event.ID)
	switch t.event.Kind {
	case KindNetwork:
		key = networkKey(t.event.ID)
	case KindVM:
		key = bindingKey(t.event.ID)
	}
	for _, c := range t.compare {
		if c.Key == key && !c.Prefix {
			return c.Revision
		}
	}
	return 0
}

// get reads a key; the change depends on it.
func (t *txn) get(key string) (KV, bool, error) {
	kv, found, err := t.snap.Get(key)
	if err == nil {
		t.compare = append(t.compare, Compare{Key: key, Revision: kv.Revision})
	}
	return kv, found, err
}

// read reads a record that get finds.
func (t *txn) read(key string, record record) (revision uint64, found bool, err error) {
	kv, found, err := t.get(key)
	if err != nil || !found {
		return 0, false, err
	}
	return kv.Revision, true, t.records.decode(kv, record)
}

// below gives the keys below a prefix; the change depends on none being added.
func (t *txn) below(prefix string) ([]KV, error) {
	t.compare = append(t.compare, Compare{Key: prefix, Prefix: true, Revision: t.snap.Revision()})
	return collect(t.snap, prefix)
}

// collect gives copies of the keys below a prefix, which may be kept.
func collect(snap Snapshot, prefix string) ([]KV, error) {
	var list []KV
	for kv, err := range snap.Range(prefix) {
		if err != nil {
			return nil, err
		}
		kv.Value = slices.Clone(kv.Value)
		list = append(list, kv)
	}
	return list, nil
}

func (t *txn) put(key string, value []byte) { t.ops = append(t.ops, Op{Key: key, Value: value}) }

func (t *txn) delete(key string) { t.ops = append(t.ops, Op{Key: key}) }

// write encodes a record.
func (t *txn) write(key string, r record) error {
	value, err := t.records.encode(key, r)
	if err == nil {
		t.put(key, value)
	}
	return err
}
