package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// load writes keys of 10 KB, in groups.
func load(t testing.TB, e *Engine, keys int, value string) {
	t.Helper()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < keys; i += 16 {
				txn := store.Txn{Ops: []store.Op{{Key: fmt.Sprintf("key/%d", i)}}, Event: []byte("e")}
				if value != "" {
					txn.Ops[0].Value = []byte(strings.Repeat(value, 10_000))
				}
				if _, err := e.Commit(context.Background(), txn); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// dump is all that an engine holds.
func dump(t testing.TB, e *Engine) (all []string) {
	t.Helper()
	err := e.View(context.Background(), func(s store.Snapshot) error {
		all = append(all, fmt.Sprint(s.Revision()))
		for kv, err := range s.Range("") {
			if err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s=%.20s@%d", kv.Key, kv.Value, kv.Revision))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// TestCompaction: the file gets small while others write, read and watch, and nothing of what they did is lost.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	e := opened(t, dir)
	load(t, e, 400, "x")
	load(t, e, 380, "")
	if !func() bool { s := e.Stats(); return s.Free > s.Size/2 }() {
		t.Fatalf("%+v", e.Stats())
	}
	before := e.Stats().Size
	reading, read := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // a reader of the old file, who outlives it
		err := e.View(context.Background(), func(s store.Snapshot) error {
			close(reading)
			<-read
			if _, found, err := s.Get("key/399"); err != nil || !found || s.Revision() != 780 {
				t.Errorf("a reader at %d lost its file: %v", s.Revision(), err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-reading
	done := make(chan struct{})
	written := make([]int, 8)
	for w := range written {
		all.Go(func() {
			for i := 1; ; i++ {
				if _, err := e.Commit(context.Background(), put(fmt.Sprintf("w/%d", w), fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
				written[w] = i
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	watched := make(chan uint64)
	go func() {
		at := uint64(0)
		for c, err := range e.Watch(context.Background(), 0) {
			if err != nil || c.Revision != at+1 {
				t.Errorf("after %d a watch has %d: %v", at, c.Revision, err)
				break
			}
			if at = c.Revision; string(c.Event) == "last=1" {
				break
			}
		}
		watched <- at
	}()
	for range 3 {
		if err := e.compact(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	close(read)
	all.Wait()
	last, err := e.Commit(t.Context(), put("last", "1"))
	if at := <-watched; err != nil || at != last {
		t.Errorf("the watch ended at %d, the last commit is %d: %v", at, last, err)
	}
	if after := e.Stats().Size; after > before/4 {
		t.Errorf("%d bytes became %d", before, after)
	}
	for w, n := range written {
		err := e.View(t.Context(), func(s store.Snapshot) error {
			kv, _, err := s.Get(fmt.Sprintf("w/%d", w))
			if string(kv.Value) != fmt.Sprint(n) {
				t.Errorf("writer %d wrote %d, and there is %q", w, n, kv.Value)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	want := dump(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, opened(t, dir)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("opened again the store has something else")
	}
}

// TestACompactionThatFails leaves the store as it was, and what is left of one is not in the way of the next.
func TestACompactionThatFails(t *testing.T) {
	dir := t.TempDir()
	e := opened(t, dir)
	load(t, e, 50, "x")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.compact(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, newName, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := e.compact(t.Context()); err != nil {
		t.Errorf("what is left behind is in the way: %v", err)
	}
	load(t, e, 50, "y")
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, newName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}

// TestItCompactsByItself: once most of a file is free, and not before.
func TestItCompactsByItself(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e := opened(t, dir, WithCompaction(1<<20))
		load(t, e, 400, "x")
		<-time.After(2 * keepEvery)
		synctest.Wait()
		full := e.Stats().Size
		if full < 4_000_000 {
			t.Errorf("%d bytes", full)
		}
		load(t, e, 380, "")
		<-time.After(2 * keepEvery)
		synctest.Wait()
		if size := e.Stats().Size; size > full/4 {
			t.Errorf("%d bytes became %d", full, size)
		}
	})
}

// TestTrimmingIsBounded: a history that became too long goes in steps, so that no commit pays for all of it.
func TestTrimmingIsBounded(t *testing.T) {
	dir := t.TempDir()
	length := func(e *Engine) (n int) {
		_ = e.view(func(tx *bbolt.Tx) error {
			n = tx.Bucket(logBucket).Stats().KeyN
			return nil
		})
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		e := opened(t, dir)
		load(t, e, 5000, "")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = opened(t, dir, WithHistory(store.History{Commits: 100}))
		for i := range 10 {
			before := length(e)
			if _, err := e.Commit(t.Context(), put("a", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if dropped := before + 1 - length(e); dropped < 2 || dropped > 3 { // twice as many, or as many bytes
				t.Errorf("a commit dropped %d others", dropped)
			}
		}
		<-time.After(2 * keepEvery)
		synctest.Wait()
		if n := length(e); n != 100 {
			t.Errorf("%d commits are kept", n)
		}
	})
}
