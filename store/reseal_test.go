package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/seal"
)

// TestRecordsAreSealed whole: what is stored shows nothing of them, on disk neither.
func TestRecordsAreSealed(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.create(f.web("web"))
			f.network("net", nil)
			f.bound("web", "vm1", "i1")
			for key, value := range f.keys("") {
				for _, inside := range append(f.secrets, "hostname", "alice", "config", "driver") {
					if strings.Contains(value, inside) {
						t.Errorf("%s shows %q", key, inside)
					}
				}
			}
			if f.dir == "" {
				return
			}
			file, err := os.ReadFile(filepath.Join(f.dir, "store.db"))
			f.must(err)
			for _, secret := range f.secrets {
				if bytes.Contains(file, []byte(secret)) {
					t.Errorf("the file shows %q", secret)
				}
			}
		})
	}
}

// TestABitFlippedInARecord is an error that names the record, wherever it is flipped; and so is a record in the place of another.
func TestABitFlippedInARecord(t *testing.T) {
	f := openInMemory(t)
	f.create(&executor.ExecutorConfig{Common: executor.Common{ID: "web"}, Hostname: "h"})
	f.create(&executor.ExecutorConfig{Common: executor.Common{ID: "db"}, Hostname: "h"})
	good := f.keys("")["executor/web"]
	refused := func(what string) {
		t.Helper()
		e, err := f.Executor(t.Context(), "web")
		if err == nil || e != nil || !strings.Contains(err.Error(), "record executor/web") {
			t.Errorf("%s: %v, %v", what, e, err)
		}
		if _, err := f.Executors(t.Context(), func(*store.Executor) {}); err == nil {
			t.Errorf("%s: all executors are read", what)
		}
		if _, err := f.UpdateExecutor(t.Context(), "web", func(*executor.ExecutorConfig) error { return nil }); err == nil {
			t.Errorf("%s: it is changed", what)
		}
	}
	for i := range good {
		flipped := []byte(good)
		flipped[i] ^= 1 << (i % 8)
		f.write("executor/web", string(flipped))
		refused(fmt.Sprintf("byte %d", i))
	}
	f.write("executor/web", f.keys("")["executor/db"])
	refused("another record")
	f.write("executor/web", `{"format":1,"config":{"id":"web"},"secretKey":""}`)
	refused("one that is not sealed")
	f.write("executor/web", good)
}

// TestResealing seals all with another key while others write, and nobody notices: revisions, tags and lists go on as they were.
func TestResealing(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.create(f.web("web"))
			f.bound("web", "vm1", "i1")
			f.many(60)
			before := f.get("web")
			page, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 5}})
			f.must(err)
			shown := len(page.Items)

			first, next := f.seals.Current(), seal.NewKey()
			ctx, end := context.WithCancel(t.Context())
			var writers sync.WaitGroup
			for w := range 4 {
				writers.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						_, err := f.UpdateExecutor(context.WithoutCancel(ctx), fmt.Sprintf("e%02d", w), func(c *executor.ExecutorConfig) error {
							c.Hostname = fmt.Sprintf("h%d", i)
							return nil
						})
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			f.seals.Use(next)
			n, err := f.Reseal(t.Context())
			f.must(err)
			if n == 0 {
				t.Error("nothing was sealed anew")
			}
			end()
			writers.Wait()

			f.must(f.engine.View(t.Context(), func(snap store.Snapshot) error {
				with, unsealed, err := store.Seals(snap)
				if len(with) != 1 || with[next.ID()] < 60 || unsealed > 0 {
					t.Errorf("sealed with %v, unsealed %d; it was %s and is %s", with, unsealed, first, next.ID())
				}
				return err
			}))
			f.same(before, f.get("web"))
			for page.Continue != "" {
				page, err = f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 5, Continue: page.Continue}})
				f.must(err)
				shown += len(page.Items)
			}
			if shown != 61 {
				t.Errorf("the list had %d executors", shown)
			}
			f.seals = seal.NewKeys(next) // for the restart at the end: the first key is needed no more
		})
	}
}

// TestAStoreThatWasNotSealed is sealed as a whole, and its file shows nothing any more.
func TestAStoreThatWasNotSealed(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	for key, value := range f.keys("") {
		if seal.Sealed([]byte(value)) {
			text, err := f.seals.Open(key, []byte(value))
			f.must(err)
			f.write(key, string(text))
		}
	}
	shows := func() bool {
		file, err := os.ReadFile(filepath.Join(f.dir, "store.db"))
		f.must(err)
		return bytes.Contains(file, []byte("pass-word"))
	}
	if !shows() {
		t.Fatal("the file shows no secret before")
	}
	if _, err := f.Executor(t.Context(), "web"); !errors.Is(err, seal.ErrNotSealed) {
		t.Errorf("while records must be sealed: %v", err)
	}
	f.seals.TakeUnsealed(true)
	before := f.get("web")
	n, err := f.Reseal(t.Context())
	f.must(err)
	f.seals.TakeUnsealed(false)
	if n != 2 || shows() {
		t.Errorf("%d records were sealed, and the file shows a secret: %t", n, shows())
	}
	f.same(before, f.get("web"))
}

// TestResealingWhatDoesNotOpen names the record, and leaves everything to be read as it was.
func TestResealingWhatDoesNotOpen(t *testing.T) {
	f := open(t)
	f.plain("a", "b")
	good := f.keys("")["executor/b"]
	f.write("executor/b", string(seal.NewKeys().Seal("executor/b", []byte("{}"))))
	f.seals.Use(seal.NewKey())
	if _, err := f.Reseal(t.Context()); !errors.As(err, new(*seal.UnknownKeyError)) || !strings.Contains(err.Error(), "record executor/b") {
		t.Errorf("the error is %v", err)
	}
	f.get("a")
	f.write("executor/b", good)
}
