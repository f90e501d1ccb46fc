package store

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
)

// batch is how many events a reader takes at once, at most.
const batch = 256

// Filter says which events a reader of the feed is given: those for which each of its lists is empty, or has one that holds.
type Filter struct {
	Kinds []string
	// Executors are ids: events of an executor, of its VM, and of the container networks that it follows when they change. There need be no such
	// executor.
	Executors []string
}

// Notice is an event on its way to many readers. It is shared: nobody changes it.
type Notice struct {
	Event
	on, was []string // see noted
	size    int      // of what the engine keeps

	once sync.Once
	text []byte
}

// Text gives the event as encode writes it, which is called for the first reader alone: all must hand in the same.
func (n *Notice) Text(encode func(*Event) []byte) []byte {
	n.once.Do(func() { n.text = encode(&n.Event) })
	return n.text
}

// Subscription is one reader's place in the feed. Its methods are for one goroutine at a time.
type Subscription struct {
	hub    *hub
	filter Filter
	news   chan struct{}       // has room for one
	on     map[string][]string // the container networks that the executors of the filter follow, here in the feed

	// The hub's lock is for these.
	at   uint64 // all up to here was given, or left out
	next uint64 // the first revision after it that may be for this reader; 0 when none was seen yet
	err  error
}

// Subscribe gives a place in the feed: every event after a revision for which the filter holds, in order, without gap or duplicate; nil begins now. It must be
// closed. Errors: ErrFuture; *CompactedError when the history begins later.
func (s *Store) Subscribe(ctx context.Context, after *uint64, f Filter) (*Subscription, error) {
	sub := &Subscription{hub: s.hub, filter: f, news: make(chan struct{}, 1)}
	now, err := s.place(ctx, sub)
	switch {
	case err != nil:
		return nil, err
	case after == nil:
		sub.at = now
	case *after > now:
		return nil, Future(*after, now)
	default:
		sub.at = *after
		if err := s.rewind(ctx, sub, now); err != nil {
			return nil, err
		}
	}
	s.hub.join(sub, now) //nolint:contextcheck // the hub outlives the first of its readers
	return sub, nil
}

// place finds out how the store stands: at which revision, and which networks the executors of a filter follow.
func (s *Store) place(ctx context.Context, sub *Subscription) (now uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		now = snap.Revision()
		sub.on = make(map[string][]string, len(sub.filter.Executors))
		for _, id := range sub.filter.Executors {
			kv, found, err := snap.Get(executorKey(id))
			if err != nil {
				return err
			}
			var rec executorRecord
			if found {
				if err := s.records.decode(kv, &rec); err != nil {
					return err
				}
			}
			sub.on[id] = followed(rec.Config)
		}
		return nil
	})
	return now, err
}

// rewind makes sub.on what it was at the reader's place: what the first event after it says of each executor. It also
// finds out whether the history goes back there.
func (s *Store) rewind(ctx context.Context, sub *Subscription, now uint64) error {
	if sub.at == now {
		return nil
	}
	unknown := maps.Clone(sub.on)
	for change, err := range s.engine.Watch(ctx, sub.at) {
		if err != nil {
			if errors.Is(err, ErrCompacted) {
				err = &CompactedError{After: sub.at, Revision: now}
			}
			return err
		}
		if len(unknown) == 0 {
			return nil
		}
		n, err := noticeOf(change)
		if err != nil {
			return err
		}
		if _, first := unknown[n.ID]; first && n.moved() {
			sub.on[n.ID] = n.was
			delete(unknown, n.ID)
		}
		if n.Revision >= now {
			return nil
		}
	}
	return ErrClosed
}

// moved reports whether an executor follows other container networks since this event.
func (n *Notice) moved() bool { return n.Kind == KindExecutor && (n.on != nil || n.was != nil) }

// Close gives up the place. It may be called again.
func (sub *Subscription) Close() { sub.hub.leave(sub) }

// Revision is the one up to which all was given: a reader that begins there misses nothing and is given nothing twice.
func (sub *Subscription) Revision() uint64 {
	sub.hub.mu.Lock()
	defer sub.hub.mu.Unlock()
	return sub.at
}

// News gets an element when there may be something to take.
func (sub *Subscription) News() <-chan struct{} { return sub.news }

// Take gives the next events, some at a time, and none when there are no new ones. It does not wait, but for the disk when the reader is far
// behind. ErrCompacted: it is behind the history, and can never get what it misses. After an error there is nothing more.
func (sub *Subscription) Take(ctx context.Context) ([]*Notice, error) {
	for {
		list, behind, err := sub.hub.fetch(sub)
		if behind {
			list, err = sub.hub.lookBack(ctx, sub)
		}
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, nil
		}
		if list = sub.sift(list); len(list) > 0 {
			return list, nil
		}
	}
}

// sift gives those of a list that the filter holds for, and keeps up with who follows which network.
func (sub *Subscription) sift(list []*Notice) []*Notice {
	if len(sub.filter.Kinds)+len(sub.filter.Executors) == 0 {
		return list
	}
	var kept []*Notice
	for _, n := range list {
		if _, ours := sub.on[n.ID]; ours && n.moved() {
			sub.on[n.ID] = n.on
		}
		if sub.wants(n) {
			kept = append(kept, n)
		}
	}
	return kept
}

func (sub *Subscription) wants(n *Notice) bool {
	switch {
	case len(sub.filter.Kinds) > 0 && !slices.Contains(sub.filter.Kinds, n.Kind):
		return false
	case len(sub.filter.Executors) == 0:
		return true
	case n.Kind != KindNetwork:
		return slices.Contains(sub.filter.Executors, n.ID)
	}
	for _, networks := range sub.on {
		if slices.Contains(networks, n.ID) {
			return true
		}
	}
	return false
}

// note is told of an event that may be for this reader. The hub is locked, here and in what follows.
func (sub *Subscription) note(n *Notice) {
	if sub.next == 0 && n.Revision > sub.at {
		sub.next = n.Revision
		sub.wake()
	}
}

func (sub *Subscription) fail(err error) {
	sub.err = err
	sub.wake()
}

func (sub *Subscription) wake() {
	select {
	case sub.news <- struct{}{}:
	default:
	}
}

// moved puts the place behind what was fetched.
func (sub *Subscription) moved(to, head uint64) {
	sub.at, sub.next = to, to+1
	if to >= head {
		sub.next = 0
	}
}

// Watch gives every event after a revision, in order, without gap or duplicate, then those to come, until ctx
// ends: the last element has the error. ErrCompacted: list, and watch from the revision of the list.
func (s *Store) Watch(ctx context.Context, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		sub, err := s.Subscribe(ctx, &after, Filter{})
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer sub.Close()
		for {
			list, err := sub.Take(ctx)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, n := range list {
				if err := ctx.Err(); err != nil {
					yield(Event{}, err)
					return
				}
				if !yield(n.Event, nil) {
					return
				}
			}
			if len(list) > 0 {
				continue
			}
			select {
			case <-sub.News():
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			}
		}
	}
}
