package app

import (
	"context"
	"maps"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/storetest"
	"github.com/vmexecutor/config-server/vm"
)

// TestCensus: every state is counted, at each look when that is cheap, and in proportion when it is not.
func TestCensus(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		engine, err := bolt.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			storetest.Sound(t, engine)
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		}()
		st, err := store.New(engine, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		create := func() {
			made++
			if _, err := st.CreateExecutor(t.Context(), &executor.ExecutorConfig{Common: executor.Common{ID: "e" + strconv.Itoa(made)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		var effort time.Duration
		counting, end := context.WithCancel(t.Context())
		c := &census{ctx: counting, store: st, state: func(e *store.Executor) push.State {
			<-time.After(effort)
			if e.Config.ID == "e1" {
				return push.StateFailed
			}
			return push.StateUnbound
		}}
		expect := func(failed, unbound int) {
			t.Helper()
			got, err := c.count(t.Context())
			if want := map[string]int{"unbound": unbound, "pending": 0, "synced": 0, "failed": failed}; err != nil || !maps.Equal(got, want) {
				t.Errorf("%v %v, want %v", got, err, want)
			}
		}
		expect(0, 0)
		create()
		create()
		expect(1, 1)
		create()
		effort = time.Second
		expect(1, 1) // takes three seconds: for a moment the count before will do
		<-time.After(2 * time.Second)
		create()
		expect(1, 2)
		<-time.After(59 * time.Second)
		expect(1, 2)
		<-time.After(2 * time.Second)
		expect(1, 2)
		<-time.After(4 * time.Second)
		expect(1, 3)

		<-time.After(time.Hour)
		end()
		if _, err := c.count(t.Context()); err == nil {
			t.Error("what could not be read was counted")
		}
	})
}

// TestCallers: drivers that count their calls are asked, others are not.
func TestCallers(t *testing.T) {
	got := callers(map[string]vm.Driver{"silent": nil, "vsphere": countingDriver{}})
	if len(got) != 1 || got["vsphere"]()["Login"] != 1 {
		t.Errorf("%v", got)
	}
}

type countingDriver struct{ vm.Driver }

func (countingDriver) Calls() map[string]uint64 { return map[string]uint64{"Login": 1} }
