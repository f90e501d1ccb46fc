package store

import (
	"context"
	"maps"

	"github.com/vmexecutor/config-server/executor"
)

// Deliver notes that execs are about to be delivered in a boot of the executor's VM. An exec belongs to that boot from then on,
// whatever becomes of the delivery, of the binding and of the server: it is never delivered in another one. Boots are told apart
// by the text that names them. It answers what Executor.Boots is then; execs that have a boot, or are gone, are passed over.
// ErrNotFound.
func (s *Store) Deliver(ctx context.Context, id, boot string, execs []string) (boots map[string]string, err error) {
	_, err = s.update(ctx, func(t *txn) error {
		e, err := t.load(id)
		if err != nil || e == nil {
			return firstOf(err, notFound("executor", id))
		}
		boots = maps.Clone(e.Boots)
		for _, exec := range execs {
			if e.Config.Execs[exec] == nil || boots[exec] != "" {
				continue
			}
			if boots == nil {
				boots = map[string]string{}
			}
			boots[exec] = boot
		}
		if len(boots) == len(e.Boots) {
			return errUnchanged
		}
		t.event = Event{Kind: KindVM, ID: id, Name: e.Config.Name, Action: ActionDeliver}
		return t.write(bootsKey(id), &bootsRecord{Boots: boots})
	})
	return boots, err
}

// keepBoots carries over to a new state of an executor which execs were delivered. One that is made anew under an old name is
// another exec: the old one has to go first.
func (t *txn) keepBoots(old *Executor, next *executor.ExecutorConfig) (map[string]string, error) {
	kept := maps.Clone(old.Boots)
	maps.DeleteFunc(kept, func(exec, _ string) bool { return next.Execs[exec] == nil })
	switch {
	case len(kept) == len(old.Boots):
		return old.Boots, nil
	case len(kept) == 0:
		t.delete(bootsKey(next.ID))
		return nil, nil
	}
	return kept, t.write(bootsKey(next.ID), &bootsRecord{Boots: kept})
}

// Note puts an event on the feed that no change of the store goes with: what was seen of a VM.
func (s *Store) Note(ctx context.Context, e Event) error {
	_, err := s.update(ctx, func(t *txn) error {
		t.event = Event{Kind: e.Kind, ID: e.ID, Name: e.Name, Action: e.Action, Fields: e.Fields, Values: e.Values}
		return nil
	})
	return err
}
