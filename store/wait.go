package store

import (
	"context"
)

// WaitExecutor gives an executor as soon as news holds for it, or as it stands when done is closed. Between its changes nothing is
// read: however many wait, only those whose executor changes look at it again. ErrNotFound, also when it is deleted meanwhile.
func (s *Store) WaitExecutor(ctx context.Context, id string, news func(*Executor) bool, done <-chan struct{}) (*Executor, error) {
	e, err := s.Executor(ctx, id)
	if err != nil || news(e) {
		return e, err
	}
	sub, err := s.Subscribe(ctx, nil, Filter{Kinds: []string{KindExecutor, KindNetwork}, Executors: []string{id}})
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	for { // at first once more: it may have changed before the subscription
		if e, err = s.Executor(ctx, id); err != nil || news(e) {
			return e, err
		}
		for changed := false; !changed; {
			select {
			case <-sub.News():
			case <-done:
				return e, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if changed, err = sub.changed(ctx, id); err != nil {
				return nil, err
			}
		}
	}
}

// changed takes all there is, and reports whether there was something; ErrNotFound when the executor was deleted, be there one of that
// id again or not.
func (sub *Subscription) changed(ctx context.Context, id string) (bool, error) {
	changed := false
	for {
		list, err := sub.Take(ctx)
		if err != nil || len(list) == 0 {
			return changed, err
		}
		for _, n := range list {
			if n.Kind == KindExecutor && n.Action == ActionDelete {
				return false, notFound("executor", id)
			}
		}
		changed = true
	}
}
