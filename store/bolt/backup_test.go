package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// backup copies a store into a file.
func backup(t *testing.T, e *Engine) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var announced int64
	err = e.Backup(t.Context(), func(size int64) (io.Writer, error) {
		announced = size
		return f, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != announced {
		t.Errorf("%d bytes came, and %d were announced: %v", info.Size(), announced, err)
	}
	return f.Name()
}

// TestBackup: a copy that is made while others write and compact is of one revision, and restoring it gives that.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	e := opened(t, dir)
	load(t, e, 60, "x")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// Two keys that are always the same.
				value := []byte(fmt.Sprint(w, i))
				_, err := e.Commit(context.Background(), store.Txn{Ops: []store.Op{{Key: "one", Value: value}, {Key: "two", Value: value}, {Key: fmt.Sprintf("key/%d", i%60)}}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			if err := e.compact(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		file := backup(t, e)
		info, err := Verify(file)
		if err != nil {
			t.Fatal(err)
		}
		into := filepath.Join(t.TempDir(), "data")
		restored, err := Restore(file, into, false)
		if err != nil || restored.Revision != info.Revision+restoredAhead || restored.Keys != info.Keys {
			t.Fatalf("%+v of %+v: %v", restored, info, err)
		}
		r := opened(t, into)
		err = r.View(t.Context(), func(s store.Snapshot) error {
			one, _, err := s.Get("one")
			two, _, err2 := s.Get("two")
			if string(one.Value) != string(two.Value) || one.Revision != two.Revision {
				t.Errorf("the backup has %q and %q", one.Value, two.Value)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
		// Those who watched are told to list again, whatever they saw.
		for _, after := range []uint64{0, info.Revision, info.Revision + 10, restored.Revision - 1} {
			for _, err := range r.Watch(t.Context(), after) {
				if !errors.Is(err, store.ErrCompacted) {
					t.Errorf("a watch from %d: %v", after, err)
				}
			}
		}
		if revision, err := r.Commit(t.Context(), put("a", "1")); err != nil || revision != restored.Revision+1 {
			t.Errorf("%d %v", revision, err)
		}
		for c, err := range r.Watch(t.Context(), restored.Revision) {
			if err != nil || string(c.Event) != "a=1" {
				t.Errorf("%q %v", c.Event, err)
			}
			break
		}
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	all.Wait()
}

func TestABackupThatIsNotTaken(t *testing.T) {
	e := opened(t, t.TempDir())
	failed := errors.New("the client has gone")
	if err := e.Backup(t.Context(), func(int64) (io.Writer, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Backup(ctx, func(int64) (io.Writer, error) {
		cancel()
		return io.Discard, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRestoreTakesNoChances: not with what is there, and not with a backup that is not whole.
func TestRestoreTakesNoChances(t *testing.T) {
	source := opened(t, t.TempDir())
	load(t, source, 20, "x")
	good := backup(t, source)
	dir := t.TempDir()
	e := opened(t, dir)
	load(t, e, 5, "y")
	want := dump(t, e)
	if _, err := Restore(good, dir, true); !errors.Is(err, store.ErrLocked) {
		t.Errorf("into a store that is in use: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(good, dir, false); !errors.Is(err, ErrHasStore) {
		t.Errorf("over a store: %v", err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad, value := filepath.Join(t.TempDir(), "bad"), bytes.Repeat([]byte("x"), 10_000)
	for name, broken := range map[string][]byte{
		"empty": {}, "cut": content[:len(content)-1], "half": content[:len(content)/2],
		"flipped": bytes.ReplaceAll(content, value, append([]byte("y"), value[1:]...)),
	} {
		if err := os.WriteFile(bad, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(bad, dir, true); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("a backup that is %s: %v", name, err)
		}
	}
	if _, err := Restore(filepath.Join(dir, "none"), dir, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no backup: %v", err)
	}
	e = opened(t, dir)
	if got := dump(t, e); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the store that was there has %q", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// What is there may be damaged: that is what restoring is for.
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(good, dir, true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	got, want := dump(t, opened(t, dir)), dump(t, source)
	if fmt.Sprint(got[1:]) != fmt.Sprint(want[1:]) {
		t.Errorf("restored was %q", got)
	}
}
