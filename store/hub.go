package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// What the hub keeps in memory for its readers. Whoever is further behind reads from the engine.
const (
	recentEvents = 4096
	recentBytes  = 4 << 20 // of events as the engine keeps them
)

// hub reads the engine's watch once for everybody who follows the feed. It keeps the events that came last, and wakes each reader that one of
// them may be for; readers fetch events at their own pace, each from its own place, so none of them can delay the hub or another one, and none costs
// memory for being slow. It runs as long as somebody reads.
type hub struct {
	engine Engine
	limit  int // recentEvents, but in tests

	mu      sync.Mutex
	run     context.CancelFunc // ends the reading of the engine; nil when nobody reads
	head    uint64             // the last revision that was read
	recent  []*Notice          // those up to head, without a gap
	bytes   int                // of recent
	all     map[*Subscription]bool
	watched map[string]map[*Subscription]bool // those who want certain executors, by their ids
}

func newHub(e Engine) *hub {
	return &hub{engine: e, limit: recentEvents, all: map[*Subscription]bool{}, watched: map[string]map[*Subscription]bool{}}
}

// join adds a reader that wants what comes after its place. now is a revision that has been: the hub begins there if it does not run.
func (h *hub) join(sub *Subscription, now uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil {
		var ctx context.Context
		ctx, h.run = context.WithCancel(context.Background())
		h.head, h.recent, h.bytes = now, nil, 0
		go h.follow(ctx, now)
	}
	if sub.at < h.head {
		sub.next = sub.at + 1
		sub.wake()
	}
	if len(sub.filter.Executors) == 0 {
		h.all[sub] = true
	}
	for _, id := range sub.filter.Executors {
		if h.watched[id] == nil {
			h.watched[id] = map[*Subscription]bool{}
		}
		h.watched[id][sub] = true
	}
}

// leave removes a reader, once or more often.
func (h *hub) leave(sub *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, sub)
	for _, id := range sub.filter.Executors {
		if delete(h.watched[id], sub); len(h.watched[id]) == 0 {
			delete(h.watched, id)
		}
	}
	if h.run != nil && len(h.all)+len(h.watched) == 0 {
		h.run()
		h.run, h.recent = nil, nil
	}
}

// follow reads the engine until ctx ends, or the engine fails: then so do all readers.
func (h *hub) follow(ctx context.Context, after uint64) {
	for change, err := range h.engine.Watch(ctx, after) {
		var n *Notice
		if err == nil {
			n, err = noticeOf(change)
		}
		h.mu.Lock()
		switch {
		case ctx.Err() != nil: // nobody reads, or others do by now
		case err != nil:
			h.fail(err)
		default:
			h.publish(n)
		}
		h.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}

// publish keeps an event, and wakes those that it may be for.
func (h *hub) publish(n *Notice) {
	h.head = n.Revision
	h.recent = append(h.recent, n) // what is dropped is let go of when the list is made anew: readers may still hold parts of the old one
	h.bytes += n.size
	for len(h.recent) > h.limit || h.bytes > recentBytes && len(h.recent) > 1 {
		h.bytes -= h.recent[0].size
		h.recent = h.recent[1:]
	}
	for sub := range h.all {
		sub.note(n)
	}
	if n.Kind != KindNetwork {
		for sub := range h.watched[n.ID] {
			sub.note(n)
		}
		return
	}
	for _, subs := range h.watched { // who is on it changes with the feed, and each knows for itself; networks change seldom
		for sub := range subs {
			sub.note(n)
		}
	}
}

// fail ends all that is read.
func (h *hub) fail(err error) {
	for sub := range h.all {
		sub.fail(err)
	}
	for _, subs := range h.watched {
		for sub := range subs {
			sub.fail(err)
		}
	}
	clear(h.all)
	clear(h.watched)
	h.run()
	h.run, h.recent = nil, nil
}

// fetch gives the events at a reader's place that are kept: none when there are no new ones, or behind when its place is before them.
func (h *hub) fetch(sub *Subscription) (list []*Notice, behind bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case sub.err != nil:
		return nil, false, sub.err
	case sub.next == 0: // nothing that came was for it
		sub.at = max(sub.at, h.head)
		return nil, false, nil
	}
	first := h.head + 1 - uint64(len(h.recent))
	if sub.next < first {
		return nil, true, nil
	}
	list = h.recent[sub.next-first:]
	list = list[:min(len(list), batch)]
	sub.moved(list[len(list)-1].Revision, h.head)
	return list, false, nil
}

// lookBack reads events at a reader's place from the engine, until it is where the hub has them.
func (h *hub) lookBack(ctx context.Context, sub *Subscription) (list []*Notice, err error) {
	h.mu.Lock()
	after, until := sub.next-1, h.head
	h.mu.Unlock()
	for change, err := range h.engine.Watch(ctx, after) {
		if err != nil {
			return nil, err
		}
		n, err := noticeOf(change)
		if err != nil {
			return nil, err
		}
		if list = append(list, n); len(list) == batch || n.Revision == until {
			break
		}
	}
	if len(list) == 0 {
		return nil, ErrClosed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	sub.moved(list[len(list)-1].Revision, h.head)
	return list, sub.err
}

// noticeOf reads what the engine kept.
func noticeOf(c Change) (*Notice, error) {
	var kept noted
	if err := json.Unmarshal(c.Event, &kept); err != nil {
		return nil, fmt.Errorf("event of revision %d: %w", c.Revision, err)
	}
	kept.Revision = c.Revision
	return &Notice{Event: kept.Event, on: kept.On, was: kept.Was, size: len(c.Event)}, nil
}
