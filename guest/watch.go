package guest

import (
	"context"
	"iter"
)

// Watch gives the changes of keys until ctx ends or the client is closed, which is its last error. The first one says
// All, as does one after each loss of the connection: what happened meanwhile is not known. Changes that come faster than
// they are taken become one.
func (c *Client) Watch(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := &watcher{wake: make(chan struct{}, 1)}
		defer c.unwatch(w)
		c.mu.Lock()
		c.watchers[w] = struct{}{} // each link that begins from now on subscribes
		c.mu.Unlock()
		var r revisionResult
		if _, err := c.call(ctx, methodSubscribe, nil, &r); err != nil {
			yield(Change{}, err)
			return
		}
		c.mu.Lock()
		w.add(r.Revision, nil)
		w.signal()
		c.mu.Unlock()
		for {
			select {
			case <-w.wake:
			case <-c.ended:
				yield(Change{}, ErrClosed)
				return
			case <-ctx.Done():
				yield(Change{}, context.Cause(ctx))
				return
			}
			c.mu.Lock()
			change, there := w.take()
			c.mu.Unlock()
			if there && !yield(change, nil) {
				return
			}
		}
	}
}

func (c *Client) unwatch(w *watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, w)
}

func (c *Client) watched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watchers) > 0
}

// changed takes what the server announced.
func (c *Client) changed(change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := change.Keys
	if change.All {
		names = nil
	}
	for w := range c.watchers {
		w.add(change.Revision, names)
		w.signal()
	}
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
