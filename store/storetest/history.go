package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/store"
)

// oldest finds the first revision that a watch can begin after.
func oldest(ctx context.Context, e store.Engine, last uint64) (after uint64, err error) {
	from, to := uint64(0), last // between which it is
	for from < to {
		middle := (from + to) / 2
		for _, err = range e.Watch(ctx, middle) {
			break
		}
		switch {
		case errors.Is(err, store.ErrCompacted):
			from = middle + 1
		case err != nil:
			return 0, err
		default:
			to = middle
		}
	}
	return from, nil
}

// kept gives how many of the commits so far a watch can still see.
func (s *suite) kept() uint64 {
	s.Helper()
	_, last := s.dump("nothing")
	after, err := oldest(s.Context(), s.Engine, last)
	if err != nil {
		s.Fatal(err)
	}
	return last - after
}

// fill makes commits with events of a size, some at a time.
func (s *suite) fill(commits, size int) {
	s.Helper()
	event := []byte(strings.Repeat("e", size))
	var all sync.WaitGroup
	turns := make(chan struct{})
	for range 16 {
		all.Go(func() {
			for range turns {
				if _, err := s.Commit(context.Background(), store.Txn{Event: event}); err != nil {
					s.Error(err)
				}
			}
		})
	}
	for range commits {
		turns <- struct{}{}
	}
	close(turns)
	all.Wait()
}

func historyByCommits(t *testing.T, s *suite) {
	if _, err := s.first(1); !errors.Is(err, store.ErrFuture) {
		t.Errorf("from 1 of nothing: %v", err)
	}
	const last = history + 20
	s.fill(last, 10)
	check := func() {
		t.Helper()
		if _, err := s.first(last - history - 1); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("before the history: %v", err)
		}
		if _, err := s.first(0); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("from the start: %v", err)
		}
		if c, err := s.first(last - history); err != nil || c.Revision != last-history+1 {
			t.Errorf("the oldest in the history: %d %v", c.Revision, err)
		}
		if _, err := s.first(last + 1); !errors.Is(err, store.ErrFuture) {
			t.Errorf("from the future: %v", err)
		}
	}
	check()
	s.reopen()
	check()
}

// historyByAge: what is young stays however much it is, and what is old goes, with commits and without.
func historyByAge(t *testing.T, s *suite) {
	open := s.open
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, open, store.History{Commits: 10, Age: 15 * time.Minute})
		expect := func(least, most uint64, when string) {
			t.Helper()
			if got := s.kept(); got < least || got > most {
				t.Errorf("%s %d commits are kept, want %d to %d", when, got, least, most)
			}
		}
		s.fill(300, 10)
		expect(300, 300, "at once")
		<-time.After(14 * time.Minute)
		s.fill(100, 10)
		expect(400, 400, "after 14 minutes")
		<-time.After(4 * time.Minute)
		expect(100, 100, "after 18 minutes without a commit")
		s.reopen()
		expect(100, 100, "opened again")
		<-time.After(10 * time.Minute)
		s.fill(1, 10)
		<-time.After(2 * time.Minute)
		expect(10, 10, "after half an hour")
		<-time.After(24 * time.Hour)
		expect(10, 10, "after a day")
	})
}

// historyByBytes: the bound holds whatever else does, and the last commit is there however large it is.
func historyByBytes(t *testing.T, s *suite) {
	const size, bound = 1000, 50_000
	s = begin(t, s.open, store.History{Commits: 1_000_000, Age: time.Hour, Bytes: bound})
	s.fill(200, size)
	if got := s.kept() * size; got > bound || got < bound*8/10 {
		t.Errorf("%d bytes of events are kept, of %d at most", got, bound)
	}
	s.fill(3, bound*2/3)
	if got := s.kept(); got != 1 {
		t.Errorf("%d commits are kept, where one fits", got)
	}
	s.fill(1, 2*bound)
	if got := s.kept(); got != 1 {
		t.Errorf("%d commits are kept, of which none fits", got)
	}
	s.fill(100, size)
	if got := s.kept(); got < 40 || got > 50 {
		t.Errorf("%d commits are kept, after a large one", got)
	}
}
