package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// first gives the first element of a watch.
func (s *suite) first(after uint64) (store.Change, error) {
	s.Helper()
	for c, err := range s.Watch(s.Context(), after) {
		return c, err
	}
	return store.Change{}, errors.New("nothing came")
}

// watchSeesEachCommitOnce has readers from different revisions, some of which begin again and again, beside several writers.
func watchSeesEachCommitOnce(t *testing.T, s *suite) {
	const before, writers, each = 100, 4, 75
	const last = before + writers*each
	var mu sync.Mutex
	committed := make(map[uint64]string, last) // by revision
	write := func(event string) {
		revision, err := s.Commit(context.WithoutCancel(t.Context()), store.Txn{Ops: []store.Op{{Key: "a", Value: []byte(event)}}, Event: []byte(event)})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		committed[revision] = event
	}
	for i := range before {
		write(fmt.Sprint(i))
	}
	watchers := []struct{ from, stint uint64 }{{0, last}, {before / 2, last}, {before, last}, {0, 7}, {before, 1}}
	seen := make([]map[uint64]string, len(watchers))
	var all sync.WaitGroup
	for i, w := range watchers {
		seen[i] = map[uint64]string{}
		all.Go(func() {
			for at := w.from; at < last; {
				began := at
				for c, err := range s.Watch(t.Context(), at) {
					if err != nil || c.Revision != at+1 {
						t.Errorf("after revision %d came %d (%v)", at, c.Revision, err)
						return
					}
					at = c.Revision
					seen[i][at] = string(c.Event)
					if at == last || at-began == w.stint {
						break
					}
				}
			}
		})
	}
	for w := range writers {
		all.Go(func() {
			for i := range each {
				write(fmt.Sprintf("%d/%d", w, i))
			}
		})
	}
	all.Wait()
	if len(committed) != last {
		t.Fatalf("%d revisions for %d commits", len(committed), last)
	}
	for i, w := range watchers {
		if want := int(last - w.from); len(seen[i]) != want {
			t.Errorf("a watch from %d saw %d commits of %d", w.from, len(seen[i]), want)
		}
		for revision, event := range seen[i] {
			if committed[revision] != event {
				t.Errorf("revision %d is %q in the feed and %q to its writer", revision, event, committed[revision])
			}
		}
	}
}

func aSlowReaderDelaysNobody(t *testing.T, s *suite) {
	s.put("a", "0")
	stalled, proceed, done := make(chan struct{}), make(chan struct{}), make(chan uint64)
	go func() {
		var at uint64
		for c, err := range s.Watch(t.Context(), 0) {
			if err != nil {
				t.Error(err)
				break
			}
			if at = c.Revision; at == 1 {
				close(stalled)
				<-proceed
			}
			if at == 101 {
				break
			}
		}
		done <- at
	}()
	<-stalled
	for range 100 {
		s.put("a", "x")
	}
	close(proceed)
	if at := <-done; at != 101 {
		t.Errorf("the slow reader ended at %d", at)
	}
}

func watchEnds(t *testing.T, s *suite) {
	s.put("a", "1")
	watch := func(ctx context.Context) (began <-chan struct{}, ended <-chan error) {
		first, last := make(chan struct{}), make(chan error, 1)
		go func() {
			var end error
			for _, err := range s.Watch(ctx, 0) {
				if end = err; err == nil {
					close(first)
				}
			}
			last <- end
		}()
		return first, last
	}
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := watch(ctx)
	<-began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a watch whose context ended: %v", err)
	}
	began, ended = watch(context.WithoutCancel(t.Context()))
	<-began
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		t.Errorf("a watch whose engine was closed: %v", err)
	}
}

// aReaderLeftBehindIsTold: a reader that is slower than the history is long gets an error and no gap.
func aReaderLeftBehindIsTold(t *testing.T, s *suite) {
	s.put("a", "0")
	var at uint64
	for c, err := range s.Watch(t.Context(), 0) {
		if err != nil {
			if !errors.Is(err, store.ErrCompacted) {
				t.Error(err)
			}
			return
		}
		if c.Revision != at+1 {
			t.Errorf("after revision %d came %d", at, c.Revision)
			return
		}
		if at = c.Revision; at == 1 {
			s.fill(history+10, 10)
		}
	}
	t.Errorf("the watch ended at %d without an error", at)
}
