package vmfake_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
	"github.com/vmexecutor/config-server/vm/vmtest"
)

// fixture is a hypervisor as the suite sees it.
type fixture struct {
	*vmfake.Hypervisor
	n int
}

func (f *fixture) harness(d vm.Driver) vmtest.Harness {
	return vmtest.Harness{
		Driver:   d,
		Versions: true,
		NewVM:    func(*testing.T) vmtest.VM { return f.vm() },
		Ambiguous: func(*testing.T) string {
			f.Add("twin")
			f.Add("twin")
			return "twin"
		},
		SecretKey: func(_ *testing.T, v vmtest.VM) []byte { return []byte(f.SecretKey(v.(fakeVM).instance)) },
		Stop:      func(*testing.T) { f.SetAway(true) },
		Start:     func(*testing.T) { f.SetAway(false) },
	}
}

func (f *fixture) vm() fakeVM {
	f.n++
	name := fmt.Sprint("vm", f.n)
	instance := f.Add(name)
	f.Do(instance, func(v *vmfake.VM) { v.Erases = f.n%2 == 0 })
	return fakeVM{f, name, instance}
}

type fakeVM struct {
	f              *fixture
	name, instance string
}

func (v fakeVM) Refs(*testing.T) map[string]string {
	return map[string]string{"name": v.name, "path": "/" + v.name, "instance": v.instance}
}

func (v fakeVM) Keys(*testing.T) map[string]string {
	keys := v.f.State(v.instance).Keys
	for key, value := range keys {
		keys[key] = extraconfig.Escape(value)
	}
	return keys
}

func (v fakeVM) Set(_ *testing.T, key, value string) {
	v.f.Do(v.instance, func(m *vmfake.VM) { m.Keys[key] = value })
}

func (v fakeVM) Power(_ *testing.T, p vm.Power) {
	v.f.Do(v.instance, func(m *vmfake.VM) { m.Turn(p) })
}

func (v fakeVM) Remove(*testing.T) {
	v.f.Do(v.instance, func(m *vmfake.VM) { m.SetGone(true) })
}

func TestConformance(t *testing.T) {
	h := vmfake.New(vmfake.Options{})
	vmtest.Run(t, (&fixture{Hypervisor: h}).harness(h))
}

// TestConformanceWhenAllFailsFirst: each call fails in turn in every way that there is before it succeeds.
func TestConformanceWhenAllFailsFirst(t *testing.T) {
	faults := []vmfake.Fault{
		{Err: vmfake.Unavailable}, {Err: vmfake.Busy}, {Err: vmfake.Unavailable, Done: true}, {Err: vmfake.Unavailable, Done: true}, {},
	}
	h := vmfake.New(vmfake.Options{})
	var mu sync.Mutex
	calls := map[string]int{}
	h.OnCall(func(_ context.Context, op vmfake.Op, instance string) vmfake.Fault {
		mu.Lock()
		defer mu.Unlock()
		call := string(op) + " " + instance
		calls[call]++
		return faults[(calls[call]-1)%len(faults)]
	})
	vmtest.Run(t, (&fixture{Hypervisor: h}).harness(vmtest.Patient(h, patience)))
}

// patience is enough for calls that several make at once, each of which may get the failures of the others.
const patience = 50

func TestConformanceInBadWeather(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := vmfake.NewWeather(seed)
			w.Set(vmfake.Conditions{Fails: 0.4, Hints: 0.5, Late: 0.5, Slow: time.Millisecond})
			h := vmfake.New(vmfake.Options{Hints: w.Hints})
			h.OnCall(w.Call(h))
			vmtest.Run(t, (&fixture{Hypervisor: h}).harness(vmtest.Patient(h, patience)))
		})
	}
}

// TestAPowerOff: what was changed while a VM ran is lost.
func TestAPowerOff(t *testing.T) {
	h := vmfake.New(vmfake.Options{})
	for _, erases := range []bool{false, true} {
		instance := h.Add("vm")
		h.Do(instance, func(v *vmfake.VM) { v.Erases, v.Keys["a"], v.Keys[vmfake.ForeignKey] = erases, "1", "changed" })
		h.Do(instance, func(v *vmfake.VM) { v.Turn(vm.PowerOff) })
		keys := h.State(instance).Keys
		if value, there := keys[vmfake.ForeignKey]; there == erases || !erases && value != vmfake.ForeignValue || keys["a"] != "" {
			t.Errorf("erases: %v, and it holds %v", erases, keys)
		}
		h.Do(instance, func(v *vmfake.VM) { v.Keys["a"] = "2" })
		h.Do(instance, func(v *vmfake.VM) { v.Turn(vm.PowerOn) })
		h.Do(instance, func(v *vmfake.VM) { v.Turn(vm.PowerSuspended) })
		h.Do(instance, func(v *vmfake.VM) { v.Turn(vm.PowerOff) })
		if keys := h.State(instance).Keys; keys["a"] != "2" {
			t.Errorf("a key that was set while the VM was off is gone: %v", keys)
		}
	}
}

// TestTheSameWeather: what happens to a VM follows from the seed.
func TestTheSameWeather(t *testing.T) {
	day := func(seed uint64, others int) (told string) {
		w := vmfake.NewWeather(seed)
		w.Set(vmfake.Conditions{Fails: 0.5, Hints: 0.5, Late: 0.5})
		h := vmfake.New(vmfake.Options{})
		call := w.Call(h)
		for range 50 {
			for n := range others {
				call(t.Context(), vmfake.Apply, fmt.Sprint("other", n))
				w.Hints(fmt.Sprint("other", n))
			}
			told += fmt.Sprint(call(t.Context(), vmfake.Apply, "vm"), w.Hints("vm"))
		}
		return told
	}
	if day(1, 0) != day(1, 3) {
		t.Error("one seed, two days")
	}
	if day(1, 0) == day(2, 0) {
		t.Error("two seeds, one day")
	}
}
