package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
)

// follow reads a subscription until it is at a revision, and gives how the events up to there read.
func (f *fixture) follow(sub *store.Subscription, until uint64) (lines []string) {
	f.Helper()
	for {
		list, err := sub.Take(f.Context())
		if err != nil {
			f.Error(err)
			return lines
		}
		for _, n := range list {
			lines = append(lines, fmt.Sprintf("%d %s %s %s", n.Revision, n.Kind, n.ID, n.Action))
			if n.Revision == until {
				return lines
			}
		}
		if len(list) == 0 {
			if sub.Revision() >= until {
				return lines
			}
			<-sub.News()
		}
	}
}

// settle waits until the hub has read all there is.
func (f *fixture) settle() {
	f.Helper()
	last := f.revision()
	f.follow(f.subscribe(new(last-1), store.Filter{}), last)
}

func (f *fixture) subscribe(after *uint64, filter store.Filter) *store.Subscription {
	f.Helper()
	sub, err := f.Subscribe(f.Context(), after, filter)
	f.must(err)
	f.Cleanup(sub.Close)
	return sub
}

func (f *fixture) note(kind, id string) {
	if err := f.Note(context.WithoutCancel(f.Context()), store.Event{Kind: kind, ID: id, Action: store.ActionPower}); err != nil {
		f.Error(err)
	}
}

// TestSubscriptionsSeeEachEventOnce: however far they are behind, and however often they begin anew.
func TestSubscriptionsSeeEachEventOnce(t *testing.T) {
	const before, writers, each = 300, 4, 100
	const last = before + writers*each
	f := open(t)
	f.KeepRecent(16)
	for range before {
		f.note(store.KindVM, "a")
	}
	var all sync.WaitGroup
	for i, from := range []uint64{0, 0, 17, before - 3, before} {
		all.Go(func() {
			for at := from; at < last; {
				sub, err := f.Subscribe(t.Context(), &at, store.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				stint := 1 + rand.Uint64N(100)
				if i == 0 {
					stint = last
				}
				for _, line := range f.follow(sub, min(last, at+stint)) {
					if at++; line != fmt.Sprintf("%d vm a power", at) {
						t.Errorf("at %d comes %s", at, line)
						at = last
					}
				}
				sub.Close()
			}
		})
	}
	for range writers {
		all.Go(func() {
			for range each {
				f.note(store.KindVM, "a")
			}
		})
	}
	all.Wait()
}

// drain takes all there is, and gives how the events read.
func (f *fixture) drain(sub *store.Subscription) (lines []string) {
	f.Helper()
	for {
		list, err := sub.Take(f.Context())
		f.must(err)
		if len(list) == 0 {
			return lines
		}
		for _, n := range list {
			lines = append(lines, fmt.Sprintf("%d %s %s %s", n.Revision, n.Kind, n.ID, n.Action))
		}
	}
}

// TestSubscriptionFilters: who watches an executor sees changes of the networks that it follows while it does, as they happen, and later from any revision on.
func TestSubscriptionFilters(t *testing.T) {
	f := open(t)
	f.KeepRecent(4)
	filters := map[string]store.Filter{
		"all":                {},
		"networks":           {Kinds: []string{store.KindNetwork}},
		"a":                  {Executors: []string{"a"}},
		"a, twice, and none": {Executors: []string{"a", "none", "a"}},
		"a's networks":       {Executors: []string{"a"}, Kinds: []string{store.KindNetwork}},
		"a and b":            {Executors: []string{"a", "b"}},
		"b's VM":             {Executors: []string{"b"}, Kinds: []string{store.KindVM}},
		"VMs and networks":   {Kinds: []string{store.KindVM, store.KindNetwork}},
	}
	live := map[string]*store.Subscription{}
	for name, filter := range filters {
		live[name] = f.subscribe(nil, filter)
	}
	on := map[uint64]map[string][]string{0: {}} // which executors follow which networks, from which revision on
	s := &scene{f, on}
	for range 2 { // the second time under the same names
		s.play()
	}
	last := f.revision()
	f.settle()

	events := f.events(0)
	want := func(filter store.Filter, after uint64) (lines []string) {
		follows := on[0]
		for _, e := range events {
			if now, moved := on[e.Revision]; moved {
				follows = now
			}
			of := len(filter.Executors) == 0 || e.Kind != store.KindNetwork && slices.Contains(filter.Executors, e.ID)
			for _, id := range filter.Executors {
				of = of || e.Kind == store.KindNetwork && slices.Contains(follows[id], e.ID)
			}
			if of && (len(filter.Kinds) == 0 || slices.Contains(filter.Kinds, e.Kind)) && e.Revision > after {
				lines = append(lines, fmt.Sprintf("%d %s %s %s", e.Revision, e.Kind, e.ID, e.Action))
			}
		}
		return lines
	}
	for name, filter := range filters {
		all := want(filter, 0)
		if len(all) < 2 {
			t.Errorf("%s: there is little to see: %q", name, all)
		}
		if got := f.drain(live[name]); !slices.Equal(got, all) {
			t.Errorf("%s saw\n%s\nand should have seen\n%s", name, strings.Join(got, "\n"), strings.Join(all, "\n"))
		}
		for after := range last + 1 {
			sub := f.subscribe(&after, filter)
			if got, want := f.drain(sub), want(filter, after); !slices.Equal(got, want) {
				t.Errorf("%s after %d saw\n%s\nand should have seen\n%s", name, after, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if sub.Revision() != last {
				t.Errorf("%s after %d is at %d in the end, want %d", name, after, sub.Revision(), last)
			}
			sub.Close()
		}
	}
}

// scene is what happens in TestSubscriptionFilters.
type scene struct {
	*fixture
	on map[uint64]map[string][]string
}

func (s *scene) play() {
	s.network("n1", nil)
	s.network("n2", nil)
	s.plain("a", "b", "c")
	s.change("n1")
	s.follows("a", "n1")
	s.follows("c", "n1", "n2")
	s.change("n1", "n2")
	s.bound("a", "vm1", "i1")
	s.bound("b", "vm2", "i2")
	s.follows("b", "n2")
	s.change("n1", "n2")
	s.follows("a", "n1", "n2")
	s.put("a", func(c *executor.ExecutorConfig) { c.Hostname = "a" })
	s.change("n1", "n2")
	s.follows("a", "n2")
	s.change("n1", "n2")
	s.follows("a")
	s.change("n1", "n2")
	s.follows("a", "n1")
	for i, id := range []string{"a", "b", "c"} {
		s.must(s.DeleteExecutor(s.Context(), id))
		s.moved(id)
		s.change("n1", "n2")
		s.must(s.Cleaned(s.Context(), "vsphere", fmt.Sprintf("i%d", i+1)))
	}
	s.must(s.DeleteNetwork(s.Context(), "n1"))
	s.must(s.DeleteNetwork(s.Context(), "n2"))
}

func (s *scene) follows(id string, networks ...string) {
	s.put(id, func(c *executor.ExecutorConfig) {
		c.Networks = map[string]*executor.NetworkEndpoint{}
		for _, name := range networks {
			c.Networks["at-"+name] = &executor.NetworkEndpoint{NetworkRef: name}
		}
	})
	s.moved(id, networks...)
}

// moved notes who follows what since the last commit.
func (s *scene) moved(id string, networks ...string) {
	now := maps.Clone(s.on[slices.Max(slices.Collect(maps.Keys(s.on)))])
	now[id] = networks
	s.on[s.revision()] = now
}

func (s *scene) change(names ...string) {
	for _, name := range names {
		_, err := s.UpdateNetwork(s.Context(), name, func(n *store.Network) error { n.Config.Notes += "x"; return nil })
		s.must(err)
	}
}

// TestASubscriptionBehindTheHistory is told so, at its beginning with where to go on.
func TestASubscriptionBehindTheHistory(t *testing.T) {
	f := openWith(t, bolt.WithHistory(store.History{Commits: 20}))
	f.KeepRecent(4)
	f.note(store.KindVM, "a")
	slow := f.subscribe(new(uint64(0)), store.Filter{})
	fast := f.subscribe(nil, store.Filter{Executors: []string{"other"}})
	for range 40 {
		f.note(store.KindVM, "a")
	}
	f.settle()
	if _, err := slow.Take(t.Context()); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("the slow one: %v", err)
	}
	if got := f.drain(fast); got != nil || fast.Revision() != 41 {
		t.Errorf("nothing was for the other one, which is at %d with %q", fast.Revision(), got)
	}
	for _, filter := range []store.Filter{{}, {Executors: []string{"a"}}} {
		_, err := f.Subscribe(t.Context(), new(uint64(20)), filter)
		if e, ok := errors.AsType[*store.CompactedError](err); !ok || e.Revision != 41 || e.After != 20 {
			t.Errorf("before the history: %v", err)
		}
		if got := f.drain(f.subscribe(new(uint64(21)), filter)); len(got) != 20 {
			t.Errorf("the whole history are %d events", len(got))
		}
		if _, err := f.Subscribe(t.Context(), new(uint64(42)), filter); !errors.Is(err, store.ErrFuture) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// TestTheHubReadsOnce: however many subscribe, the engine is watched by one, and by none when nobody reads.
func TestTheHubReadsOnce(t *testing.T) {
	f := open(t)
	f.watches = make(chan int, 100)
	f.note(store.KindVM, "a")
	for range 2 {
		var subs []*store.Subscription
		for range 50 {
			subs = append(subs, f.subscribe(nil, store.Filter{}), f.subscribe(nil, store.Filter{Executors: []string{"a", "b"}}))
		}
		f.note(store.KindVM, "a")
		for _, sub := range subs {
			f.follow(sub, f.revision())
		}
		for _, sub := range subs {
			sub.Close()
			sub.Close()
		}
		if began, ended := <-f.watches, <-f.watches; began != 1 || ended != -1 || len(f.watches) > 0 {
			t.Errorf("the engine's watches: %d %d and %d more", began, ended, len(f.watches))
		}
	}
	f.watches = nil
}

// TestSubscriptionsEndWithTheEngine, and so does who waits.
func TestSubscriptionsEndWithTheEngine(t *testing.T) {
	f := open(t)
	f.plain("a")
	sub := f.subscribe(nil, store.Filter{})
	waited := make(chan error)
	go func() {
		_, err := f.WaitExecutor(t.Context(), "a", func(*store.Executor) bool { return false }, nil)
		waited <- err
	}()
	f.must(f.engine.Close())
	<-sub.News()
	if _, err := sub.Take(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	f.begin()
}

// TestNoticesAreEncodedOnce for all who read them.
func TestNoticesAreEncodedOnce(t *testing.T) {
	f := open(t)
	subs := []*store.Subscription{f.subscribe(nil, store.Filter{}), f.subscribe(nil, store.Filter{Executors: []string{"a"}})}
	f.note(store.KindVM, "a")
	encoded := 0
	for _, sub := range subs {
		<-sub.News()
		list, err := sub.Take(t.Context())
		f.must(err)
		text := list[0].Text(func(e *store.Event) []byte { encoded++; return []byte(e.ID) })
		if string(text) != "a" || encoded != 1 {
			t.Errorf("%q, encoded %d times", text, encoded)
		}
	}
}
