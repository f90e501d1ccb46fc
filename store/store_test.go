package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// TestTheFeedIsEveryCommitInOrder: from any revision on, with who made it and when.
func TestTheFeedIsEveryCommitInOrder(t *testing.T) {
	f := open(t)
	ctx := store.WithActor(t.Context(), "alice")
	begun := time.Now().UTC().Round(0)
	_, err := f.CreateExecutor(ctx, f.web("web"), nil)
	f.must(err)
	f.plain("db")
	f.network("net", nil)
	f.must(f.DeleteExecutor(ctx, "web"))
	var got []string
	for _, e := range f.events(0) {
		got = append(got, fmt.Sprintf("%d %s %s %s %s", e.Revision, e.Kind, e.ID, e.Action, e.Actor))
		if e.Time.Before(begun) || e.Time.Location() != time.UTC {
			t.Errorf("event %d was at %v", e.Revision, e.Time)
		}
	}
	want := []string{"1 executor web create alice", "2 executor db create ", "3 network net create ", "4 executor web delete alice"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the feed is %q", got)
	}
	if e := f.event(3); e.Revision != 4 {
		t.Errorf("after 3 comes %d", e.Revision)
	}
	for _, err := range f.Watch(t.Context(), 5) {
		f.mustFail(err, store.ErrFuture)
	}
}

// TestWatchGivesWhatComes: a watch from now on sees the next commit, and ends with its context.
func TestWatchGivesWhatComes(t *testing.T) {
	f := open(t)
	f.plain("a")
	for e, err := range f.Watch(t.Context(), 0) {
		f.must(err)
		if e.ID == "b" {
			break
		}
		f.plain("b")
	}
}

func TestARecordOfANewerFormat(t *testing.T) {
	for name, value := range map[string]string{
		"fits":         `{"format":2,"config":{"id":"web"}}`,
		"does not fit": `{"format":99,"config":["web"],"driver":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.plain("web")
			f.bound("web", "vm1", "i1")
			f.network("net", nil)
			f.must(f.Unbind(t.Context(), "web"))
			f.bound("web", "vm1", "i1")
			check := func(key string, read func() error) {
				t.Helper()
				old := f.keys("")[key]
				f.write(key, f.sealed(key, value))
				if err := read(); !errors.Is(err, store.ErrFormat) {
					t.Errorf("%s: %v", key, err)
				}
				f.write(key, old)
			}
			executorIsRead := func() error { _, err := f.Executor(t.Context(), "web"); return err }
			check("executor/web", executorIsRead)
			check("executor/web", func() error { _, err := f.Executors(t.Context(), func(*store.Executor) {}); return err })
			check("executor/web", func() error {
				_, _, err := f.PutExecutor(t.Context(), &executor.ExecutorConfig{Common: executor.Common{ID: "web"}})
				return err
			})
			check("executor/web", func() error { return f.DeleteExecutor(t.Context(), "web") })
			check("vm/web", executorIsRead)
			check("vm/web", func() error { return f.Unbind(t.Context(), "web") })
			check("network/net", func() error { _, err := f.Network(t.Context(), "net"); return err })
			check("network/net", func() error {
				_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", nil)})
				return err
			})
			check("unbinding/vsphere/i1", func() error { _, err := f.Unbindings(t.Context()); return err })
		})
	}
}

// sealed is a record as the engine has it.
func (f *fixture) sealed(key, text string) string { return string(f.seals.Seal(key, []byte(text))) }

// write puts something into the engine, behind the store's back.
func (f *fixture) write(key, value string) {
	f.Helper()
	f.tampered = true
	_, err := f.engine.Commit(f.Context(), store.Txn{
		Ops:   []store.Op{{Key: key, Value: []byte(value)}},
		Event: []byte(`{"time":"2026-01-02T03:04:05Z","kind":"test","id":"test","action":"test"}`),
	})
	f.must(err)
}

func TestARecordThatIsBroken(t *testing.T) {
	f := open(t)
	f.plain("web")
	old := f.keys("")["executor/web"]
	f.write("executor/web", f.sealed("executor/web", "{"))
	if _, err := f.Executor(t.Context(), "web"); err == nil || errors.Is(err, store.ErrFormat) {
		t.Errorf("the error is %v", err)
	}
	f.write("executor/web", old)
}
