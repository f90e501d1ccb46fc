package store

import "context"

// Unbinding is a VM that an executor was delivered to and is not any more. It still has to be cleaned, for good.
type Unbinding struct {
	Executor, Driver, Ref, Instance string
	Clean                           bool // it was seen so once, while it ran: a power-off may bring keys back
	Revision                        uint64
}

// Unbindings gives the VMs that still have to be cleaned.
func (s *Store) Unbindings(ctx context.Context) ([]Unbinding, error) {
	return s.unbindings(ctx, "unbinding/")
}

// CleanedUnbindings gives those that were seen clean while they ran, and may not stay so.
func (s *Store) CleanedUnbindings(ctx context.Context) ([]Unbinding, error) {
	return s.unbindings(ctx, "cleaned/")
}

func (s *Store) unbindings(ctx context.Context, prefix string) (list []Unbinding, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		for kv, err := range snap.Range(prefix) {
			if err != nil {
				return err
			}
			u, err := s.unbinding(kv)
			if err != nil {
				return err
			}
			list = append(list, *u)
		}
		return nil
	})
	return list, err
}

// Unbinding tells whether a VM still has to be cleaned, or kept clean; nil when it need not be.
func (s *Store) Unbinding(ctx context.Context, driver, instance string) (u *Unbinding, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		for _, key := range []string{unbindingKey(driver, instance), cleanedKey(driver, instance)} {
			kv, found, err := snap.Get(key)
			if err != nil {
				return err
			}
			if found {
				u, err = s.unbinding(kv)
				return err
			}
		}
		return nil
	})
	return u, err
}

func (s *Store) unbinding(kv KV) (*Unbinding, error) {
	var rec unbindingRecord
	if err := s.records.decode(kv, &rec); err != nil {
		return nil, err
	}
	return &Unbinding{
		Executor: rec.Executor, Driver: rec.Driver, Ref: rec.Ref, Instance: rec.Instance, Revision: kv.Revision,
		Clean: kv.Key == cleanedKey(rec.Driver, rec.Instance),
	}, nil
}

// SeenClean notes that a VM that has to be cleaned was seen without any key of ours, and not that it stays so: see Cleaned.
func (s *Store) SeenClean(ctx context.Context, driver, instance string) error {
	return s.cleaning(ctx, driver, instance, func(t *txn, u *Unbinding) error {
		if u.Clean {
			return errUnchanged
		}
		t.delete(unbindingKey(driver, instance))
		return t.write(cleanedKey(driver, instance), &unbindingRecord{Executor: u.Executor, Driver: u.Driver, Ref: u.Ref, Instance: u.Instance})
	})
}

// Cleaned forgets an unbinding whose VM was seen without any key of ours, or is given up.
func (s *Store) Cleaned(ctx context.Context, driver, instance string) error {
	return s.cleaning(ctx, driver, instance, func(t *txn, _ *Unbinding) error {
		t.delete(unbindingKey(driver, instance))
		t.delete(cleanedKey(driver, instance))
		return nil
	})
}

// cleaning changes an unbinding, if there still is one.
func (s *Store) cleaning(ctx context.Context, driver, instance string, change func(t *txn, u *Unbinding) error) error {
	_, err := s.update(ctx, func(t *txn) error {
		for _, key := range []string{unbindingKey(driver, instance), cleanedKey(driver, instance)} {
			kv, found, err := t.get(key)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			u, err := s.unbinding(kv)
			if err != nil {
				return err
			}
			t.event = Event{Kind: KindVM, ID: u.Executor, Action: ActionClean}
			return change(t, u)
		}
		return errUnchanged
	})
	return err
}
