package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// readersSeeOneRevision has writers move amounts between accounts by a compare-and-set of two of them, and readers add all up.
func readersSeeOneRevision(t *testing.T, s *suite) {
	const accounts, each, writers, moves = 8, 100, 8, 15
	name := func(i int) string { return fmt.Sprintf("account/%d", i) }
	var t0 store.Txn
	for i := range accounts {
		t0.Ops = append(t0.Ops, store.Op{Key: name(i), Value: strconv.AppendInt(nil, each, 10)})
	}
	s.commit(t0)
	ctx := context.WithoutCancel(t.Context())
	var all, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		all.Go(func() {
			for n := 0; n < moves; {
				err := s.move(ctx, name((w+n)%accounts), name((w+2*n+1)%accounts))
				switch {
				case err == nil:
					n++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				if sum := s.sum(ctx); sum != accounts*each {
					t.Errorf("at one revision the accounts add up to %d", sum)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	all.Wait()
	close(done)
	readers.Wait()
}

// move takes one from an account and gives it to another.
func (s *suite) move(ctx context.Context, from, to string) error {
	if from == to {
		return nil
	}
	var t store.Txn
	err := s.View(ctx, func(snap store.Snapshot) error {
		for key, change := range map[string]int{from: -1, to: 1} {
			kv, _, err := snap.Get(key)
			if err != nil {
				return err
			}
			amount, err := strconv.Atoi(string(kv.Value))
			if err != nil {
				return err
			}
			t.Compare = append(t.Compare, store.Compare{Key: key, Revision: kv.Revision})
			t.Ops = append(t.Ops, store.Op{Key: key, Value: strconv.AppendInt(nil, int64(amount+change), 10)})
		}
		return nil
	})
	if err == nil {
		_, err = s.Commit(ctx, t)
	}
	return err
}

func (s *suite) sum(ctx context.Context) (sum int) {
	err := s.View(ctx, func(snap store.Snapshot) error {
		for kv, err := range snap.Range("account/") {
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(kv.Value))
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
	if err != nil {
		s.Error(err)
	}
	return sum
}

// eachWriterHasItsOwnOutcome: of many who commit at the same time some succeed, some come too late, some have given up, and what
// some ask for cannot be stored. Nobody's failure is another's, and what is there afterwards is what was answered.
func eachWriterHasItsOwnOutcome(t *testing.T, s *suite) {
	const rounds, writers = 10, 64
	ended, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cancel()
	var mu sync.Mutex
	committed := map[uint64]string{}
	for round := range rounds {
		var all sync.WaitGroup
		begin := make(chan struct{})
		once := fmt.Sprintf("once/%d", round)
		winners := 0
		for w := range writers {
			ctx, own := context.WithoutCancel(t.Context()), fmt.Sprintf("own/%d/%d", round, w)
			txn := store.Txn{Ops: []store.Op{{Key: own, Value: []byte("x")}}, Event: []byte(own)}
			kind := w % 4
			switch kind {
			case 1: // one of these
				txn.Compare = []store.Compare{{Key: once}}
				txn.Ops = append(txn.Ops, store.Op{Key: once, Value: []byte(own)})
			case 2:
				ctx = ended
			case 3:
				txn.Ops = append(txn.Ops, store.Op{Value: []byte("without a key")})
			}
			all.Go(func() {
				<-begin
				revision, err := s.Commit(ctx, txn)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					committed[revision] = own
				case revision != 0:
					t.Errorf("a failure has revision %d", revision)
				}
				switch want := []error{nil, store.ErrConflict, context.Canceled, nil}[kind]; {
				case kind == 1 && err == nil:
					winners++
				case kind == 3 && (err == nil || errors.Is(err, store.ErrConflict)):
					t.Errorf("a key that is empty: %v", err)
				case kind != 3 && !errors.Is(err, want):
					t.Errorf("the writer of %s has %v, want %v", own, err, want)
				}
			})
		}
		close(begin)
		all.Wait()
		if winners != 1 {
			t.Errorf("%d writers were the first", winners)
		}
	}
	keys, last := s.dump("own/")
	if want := rounds * (writers/4 + 1); len(committed) != want || last != uint64(want) || len(keys) != want {
		t.Fatalf("%d commits were answered, the store is at %d and has %d keys, want %d", len(committed), last, len(keys), want)
	}
	for revision, own := range committed {
		if !slices.Contains(keys, fmt.Sprintf("%s=x@%d", own, revision)) {
			t.Errorf("%s was answered with revision %d, and is not there so", own, revision)
		}
	}
	for c, err := range s.Watch(t.Context(), 0) {
		if err != nil || !bytes.Equal(c.Event, []byte(committed[c.Revision])) {
			t.Fatalf("revision %d is %q in the feed, and %q to its writer (%v)", c.Revision, c.Event, committed[c.Revision], err)
		}
		if c.Revision == last {
			break
		}
	}
}
