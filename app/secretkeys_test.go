package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
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

// TestAResealingInTwoParts is in the audit trail, once, when it is done: in one process or in two.
func TestAResealingInTwoParts(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	trail := audit.New(audit.Options{File: &lines, Log: log})
	engine := &noRoom{Engine: memory.New(store.DefaultHistory)}
	t.Cleanup(func() { _ = engine.Close() })
	o := Options{SecretKeyFile: filepath.Join(t.TempDir(), "key")}
	k, err := o.openKeys(t.Context(), engine, log, trail)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(engine, store.Options{Keys: k.keys})
	if err != nil {
		t.Fatal(err)
	}
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
	if k, err = o.openKeys(t.Context(), engine, log, trail); err != nil {
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

// TestReadersOfWhatWasNotSealed come to their end, though all was sealed meanwhile.
func TestReadersOfWhatWasNotSealed(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	engine := memory.New(store.DefaultHistory)
	t.Cleanup(func() { _ = engine.Close() })
	var ops []store.Op
	for _, id := range []string{"a", "b"} {
		ops = append(ops, store.Op{Key: "executor/" + id, Value: []byte(`{"format":1,"config":{"id":"` + id + `"}}`)})
	}
	if _, err := engine.Commit(t.Context(), store.Txn{Ops: ops, Event: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	o := Options{SecretKeyFile: filepath.Join(t.TempDir(), "key")}
	k, err := o.openKeys(t.Context(), engine, log, audit.New(audit.Options{Log: log}))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(engine, store.Options{Keys: k.keys})
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	_, err = st.Executors(t.Context(), func(*store.Executor) {
		read++
		if err := k.look(t.Context(), st); err != nil {
			t.Error(err)
		}
	})
	if err != nil || read != 2 {
		t.Errorf("%d executors were read: %v", read, err)
	}
}
