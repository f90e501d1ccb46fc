package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/memory"
	"github.com/vmexecutor/config-server/store/seal"
)

// noRoom rewrites everything, and then has no room for what follows, once.
type noRoom struct {
	*memory.Engine
	had bool
}

func (e *noRoom) Rewrite(ctx context.Context, stale func(string, []byte) bool, fresh func(string, []byte) ([]byte, error)) (int, error) {
	n, err := e.Engine.Rewrite(ctx, stale, fresh)
	if err == nil && !e.had {
		e.had, err = true, errors.New("no room")
	}
	return n, err
}

// kept is a store with its keeper, and what both were made with. Audit lines go to trail.
func kept(t *testing.T, engine store.Engine, trail io.Writer) (Options, *keeper, *store.Store) {
	t.Helper()
	t.Cleanup(func() { _ = engine.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	o := Options{SecretKeyFile: filepath.Join(t.TempDir(), "key")}
	k, err := o.openKeys(t.Context(), engine, log, audit.New(audit.Options{File: trail, Log: log}))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(engine, store.Options{Keys: k.keys})
	if err != nil {
		t.Fatal(err)
	}
	return o, k, st
}

// TestAResealingInTwoParts is in the audit trail, once, when it is done: in one process or in two.
func TestAResealingInTwoParts(t *testing.T) {
	var lines bytes.Buffer
	engine := &noRoom{Engine: memory.New(store.DefaultHistory)}
	o, k, st := kept(t, engine, &lines)
	if _, err := st.CreateExecutor(t.Context(), &executor.ExecutorConfig{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Rotate(k.path); err != nil {
		t.Fatal(err)
	}
	if err := k.look(t.Context(), st); err == nil || lines.Len() > 0 {
		t.Errorf("the first part: %v %s", err, &lines)
	}
	for range 2 {
		if err := k.look(t.Context(), st); err != nil {
			t.Error(err)
		}
	}
	if strings.Count(lines.String(), `"operation":"reseal"`) != 1 {
		t.Errorf("the trail has %s", &lines)
	}

	// A process that seals all, and ends before it says so.
	file, err := seal.Rotate(k.path)
	if err != nil {
		t.Fatal(err)
	}
	k.keys.Use(file.Keys...)
	if n, err := st.Reseal(t.Context()); err != nil || n == 0 {
		t.Errorf("%d records were sealed: %v", n, err)
	}
	if k, err = o.openKeys(t.Context(), engine, k.log, k.trail); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.look(t.Context(), st); err != nil {
			t.Error(err)
		}
	}
	if strings.Count(lines.String(), `"operation":"reseal"`) != 2 {
		t.Errorf("after a restart the trail has %s", &lines)
	}
}

// TestAFileWithoutTheKeyInUse gets it back before anything is sealed with the new one: the process may end before all is.
func TestAFileWithoutTheKeyInUse(t *testing.T) {
	_, k, st := kept(t, &noRoom{Engine: memory.New(store.DefaultHistory)}, io.Discard)
	if _, err := st.CreateExecutor(t.Context(), &executor.ExecutorConfig{}, nil); err != nil {
		t.Fatal(err)
	}
	old, next := k.needed[0], seal.NewKey()
	for _, want := range [][]seal.Key{{next, old}, {next}} { // the first time it comes half way
		if err := (seal.File{Keys: []seal.Key{next}}).Save(k.path); err != nil {
			t.Fatal(err)
		}
		if err := k.look(t.Context(), st); (err == nil) != (len(want) == 1) {
			t.Error(err)
		}
		if file, err := seal.ReadFile(k.path); err != nil || !slices.Equal(file.Keys, want) {
			t.Errorf("the file has %v, want %v: %v", file.Keys, want, err)
		}
	}
	if k.keys.Current() != next.ID() || !slices.Equal(k.needed, []seal.Key{next}) {
		t.Errorf("the key in use is %s, and needed are %v", k.keys.Current(), k.needed)
	}
}

// TestReadersOfWhatWasNotSealed come to their end, though all was sealed meanwhile.
func TestReadersOfWhatWasNotSealed(t *testing.T) {
	engine := memory.New(store.DefaultHistory)
	var ops []store.Op
	for _, id := range []string{"a", "b"} {
		ops = append(ops, store.Op{Key: "executor/" + id, Value: []byte(`{"format":1,"config":{"id":"` + id + `"}}`)})
	}
	if _, err := engine.Commit(t.Context(), store.Txn{Ops: ops, Event: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	_, k, st := kept(t, engine, io.Discard)
	read := 0
	_, err := st.Executors(t.Context(), func(*store.Executor) {
		read++
		if err := k.look(t.Context(), st); err != nil {
			t.Error(err)
		}
	})
	if err != nil || read != 2 {
		t.Errorf("%d executors were read: %v", read, err)
	}
}
