package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

func revisionsCountCommits(t *testing.T, s *suite) {
	if _, revision := s.dump(""); revision != 0 {
		t.Errorf("a new store is at revision %d", revision)
	}
	for want := uint64(1); want < 5; want++ {
		if got := s.put("a", "x"); got != want {
			t.Errorf("commit %d got revision %d", want, got)
		}
	}
	if got := s.commit(store.Txn{Event: []byte("only an event")}); got != 5 {
		t.Errorf("a commit without changes got revision %d", got)
	}
}

func readsWhatWasWritten(t *testing.T, s *suite) {
	s.commit(store.Txn{Ops: []store.Op{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}}, {Key: "c", Value: []byte("\x00\xff")}}})
	s.commit(store.Txn{Ops: []store.Op{{Key: "a", Value: []byte("2")}, {Key: "c"}, {Key: "never there"}}})
	s.expect("", "a=2@2", "b=@1")
	err := s.View(t.Context(), func(snap store.Snapshot) error {
		if kv, found, err := snap.Get("b"); err != nil || !found || len(kv.Value) != 0 || kv.Revision != 1 || kv.Key != "b" {
			t.Errorf("an empty value: %+v %v %v", kv, found, err)
		}
		if kv, found, err := snap.Get("c"); err != nil || found || kv.Revision != 0 {
			t.Errorf("a deleted key: %+v %v %v", kv, found, err)
		}
		return errors.New("fn's own")
	})
	if err == nil || err.Error() != "fn's own" {
		t.Errorf("View answers fn's error: %v", err)
	}
	s.commit(store.Txn{Ops: []store.Op{{Key: "a"}, {Key: "a", Value: []byte("3")}}})
	s.expect("a", "a=3@3")
}

func rangeIsInOrder(t *testing.T, s *suite) {
	for _, key := range []string{"b/2", "a", "b/10", "b", "b/\xff", "c/1", "b0"} {
		s.put(key, "x")
	}
	s.expect("b/", "b/10=x@3", "b/2=x@1", "b/\xff=x@5")
	s.expect("nothing")
	n := 0
	err := s.View(t.Context(), func(snap store.Snapshot) error {
		for _, err := range snap.Range("") {
			if err != nil {
				return err
			}
			if n++; n == 2 {
				break // a reader may stop
			}
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d %v", n, err)
	}
}

func compareAndSet(t *testing.T, s *suite) {
	s.put("a", "1")
	s.put("b", "1")
	for _, c := range []struct {
		a, b uint64
		want error
	}{
		{1, 2, nil}, {1, 2, store.ErrConflict}, {3, 3, nil}, {4, 0, store.ErrConflict}, {4, 5, store.ErrConflict},
	} {
		_, err := s.Commit(t.Context(), store.Txn{
			Compare: []store.Compare{{Key: "a", Revision: c.a}, {Key: "b", Revision: c.b}},
			Ops:     []store.Op{{Key: "a", Value: []byte("2")}, {Key: "b", Value: []byte("2")}},
		})
		if !errors.Is(err, c.want) {
			t.Errorf("a@%d b@%d: %v, want %v", c.a, c.b, err, c.want)
		}
	}
	s.commit(store.Txn{Compare: []store.Compare{{Key: "new", Revision: 0}}, Ops: []store.Op{{Key: "new", Value: []byte("1")}}})
	if _, err := s.Commit(t.Context(), store.Txn{Compare: []store.Compare{{Key: "new", Revision: 0}}}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a key that is there passed for absent: %v", err)
	}
	s.commit(store.Txn{Ops: []store.Op{{Key: "new"}}})
	s.commit(store.Txn{Compare: []store.Compare{{Key: "new", Revision: 0}}, Ops: []store.Op{{Key: "new", Value: []byte("2")}}})
}

func comparePrefix(t *testing.T, s *suite) {
	at := s.put("ref/net/a", "x")
	s.put("ref/net2/a", "x")
	guarded := store.Txn{Compare: []store.Compare{{Key: "ref/net/", Prefix: true, Revision: at}}}
	s.commit(guarded)
	s.put("ref/net/b", "x")
	if _, err := s.Commit(t.Context(), guarded); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an addition below the prefix went unnoticed: %v", err)
	}
	s.commit(store.Txn{Ops: []store.Op{{Key: "ref/net/b"}}})
	s.commit(guarded) // what is gone is no addition
	s.put("ref/net/a", "y")
	if _, err := s.Commit(t.Context(), guarded); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a change below the prefix went unnoticed: %v", err)
	}
}

func conflictWritesNothing(t *testing.T, s *suite) {
	s.put("a", "1")
	before, revision := s.dump("")
	_, err := s.Commit(t.Context(), store.Txn{
		Compare: []store.Compare{{Key: "a", Revision: 1}, {Key: "b", Revision: 7}},
		Ops:     []store.Op{{Key: "a"}, {Key: "b", Value: []byte("2")}},
		Event:   []byte("never"),
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	if after, at := s.dump(""); !slices.Equal(before, after) || at != revision {
		t.Errorf("%v at %d became %v at %d", before, revision, after, at)
	}
	s.put("b", "2")
	for c, err := range s.Watch(t.Context(), revision) {
		if err != nil || string(c.Event) != "b=2" {
			t.Errorf("the feed has %q (%v)", c.Event, err)
		}
		break
	}
}

func snapshotsStand(t *testing.T, s *suite) {
	s.put("a", "1")
	err := s.View(t.Context(), func(snap store.Snapshot) error {
		written := make(chan error, 1)
		go func() {
			_, err := s.Commit(context.WithoutCancel(t.Context()), store.Txn{Ops: []store.Op{{Key: "a", Value: []byte("2")}, {Key: "b", Value: []byte("2")}}})
			written <- err
		}()
		if err := <-written; err != nil {
			return err
		}
		if kv, _, err := snap.Get("a"); err != nil || string(kv.Value) != "1" || snap.Revision() != 1 {
			t.Errorf("a reader sees a later commit: %s at %d, %v", kv.Value, snap.Revision(), err)
		}
		if _, found, _ := snap.Get("b"); found {
			t.Error("a reader sees a later key")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect("", "a=2@2", "b=2@2")
}

func valuesAreCopies(t *testing.T, s *suite) {
	value, event := []byte("value"), []byte("event")
	s.commit(store.Txn{Ops: []store.Op{{Key: "a", Value: value}}, Event: event})
	copy(value, "XXXXX")
	copy(event, "XXXXX")
	s.expect("a", "a=value@1")
	for c, err := range s.Watch(t.Context(), 0) {
		if err != nil || string(c.Event) != "event" {
			t.Errorf("%s %v", c.Event, err)
		}
		break
	}
}

func oneOfManyWins(t *testing.T, s *suite) {
	const writers, rounds = 8, 20
	var wins [writers]int
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for wins[w] < rounds {
				var at uint64
				err := s.View(t.Context(), func(snap store.Snapshot) error {
					kv, _, err := snap.Get("counter")
					at = kv.Revision
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.Commit(t.Context(), store.Txn{
					Compare: []store.Compare{{Key: "counter", Revision: at}},
					Ops:     []store.Op{{Key: "counter", Value: fmt.Appendf(nil, "%d", w)}},
				})
				switch {
				case err == nil:
					wins[w]++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if _, revision := s.dump(""); revision != writers*rounds {
		t.Errorf("%d commits for %d changes", revision, writers*rounds)
	}
}

func aCanceledCommitWritesNothing(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Commit(ctx, store.Txn{Ops: []store.Op{{Key: "a", Value: []byte("1")}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if err := s.View(ctx, func(store.Snapshot) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
	}
	s.expect("")
}

func reopeningKeepsEverything(t *testing.T, s *suite) {
	s.put("a", "1")
	s.put("b", strings.Repeat("x", 100_000))
	before, revision := s.dump("")
	s.reopen()
	if after, at := s.dump(""); !slices.Equal(before, after) || at != revision {
		t.Errorf("revision %d became %d, or the keys changed", revision, at)
	}
	if got := s.put("c", "3"); got != revision+1 {
		t.Errorf("the next commit got revision %d", got)
	}
	n := 0
	for c, err := range s.Watch(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; c.Revision == revision+1 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d events of 3", n)
	}
}

func closedIsClosed(t *testing.T, s *suite) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := s.View(t.Context(), func(store.Snapshot) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View: %v", err)
	}
	if _, err := s.Commit(t.Context(), store.Txn{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := s.first(0); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Watch: %v", err)
	}
}
