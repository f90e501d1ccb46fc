package vsphere_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vmtest"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// TestConformanceWhenVSphereMisbehaves: calls are not heard, answers are lost, though what was asked is done, sessions end, tasks fail.
// What happens to a call follows from the seed, its method, and how many of that method came before.
func TestConformanceWhenVSphereMisbehaves(t *testing.T) {
	const seed = 1
	f := newFixture(t, 100)
	e := newEndpoint(t, f.sim.URL())
	happened := map[mishap]int{}
	e.odds = func(method string, n int) mishap {
		m := none
		if r := roll(seed, method, n, 50); r < 3 {
			m = unheard + mishap(r)
		}
		happened[m]++
		return m
	}
	var sim atomic.Pointer[simulator.Simulator]
	sim.Store(f.sim)
	var changes atomic.Int64
	e.onCall(func(method string) {
		if method == "ReconfigVM_Task" && roll(seed, "task", int(changes.Add(1)), 8) == 0 {
			if err := sim.Load().FailReconfigures("", 1, new(types.TaskInProgress)); err != nil {
				t.Error(err)
			}
		}
	})
	driver := f.driverAt(e.URL)
	h := f.harness()
	h.Driver = vmtest.Patient(driver, 25)
	start := h.Start
	h.Start = func(t *testing.T) { start(t); sim.Store(f.sim) }
	vmtest.Run(t, h)
	if err := driver.Close(t.Context()); err != nil {
		t.Log("close:", err) // this call, too, may be one that is not heard
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if happened[unheard] < 10 || happened[lost] < 10 || happened[outside] < 10 {
		t.Errorf("little happened: %v", happened)
	}
}

func roll(seed uint64, what string, n, sides int) int {
	hash := fnv.New64a()
	_, _ = fmt.Fprint(hash, what, n)
	return rand.New(rand.NewPCG(seed, hash.Sum64())).IntN(sides)
}
