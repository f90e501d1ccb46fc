package store

import (
	"context"
	"iter"
)

// Follow is an Engine's Watch, made of what reads some commits after a revision: since gives none when there are none yet, and then what
// is closed at the next one. It is asked again as its reader goes on, so a slow one delays nobody. The watch ends with ctx, when closed
// is closed, or with an error of since.
func Follow(ctx context.Context, after uint64, closed <-chan struct{}, since func(after uint64) (changes []Change, next <-chan struct{}, err error)) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for {
			changes, next, err := since(after)
			if err != nil {
				yield(Change{}, err)
				return
			}
			for _, c := range changes {
				if err := ctx.Err(); err != nil {
					yield(Change{}, err)
					return
				}
				if !yield(c, nil) {
					return
				}
				after = c.Revision
			}
			if len(changes) > 0 {
				continue
			}
			select {
			case <-next:
			case <-closed:
				yield(Change{}, ErrClosed)
				return
			case <-ctx.Done():
				yield(Change{}, ctx.Err())
				return
			}
		}
	}
}
