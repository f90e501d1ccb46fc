package vsphere_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vsphere"
)

// eventually waits for what comes a moment later.
func eventually(t *testing.T, what string, comes func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); !comes(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s did not come", what)
		}
	}
}

func (f *fixture) observed(t *testing.T, v *simVM) (instance string, state vm.State) {
	t.Helper()
	instance, err := f.driver.Resolve(t.Context(), "/DC0/vm/"+v.name)
	must(t, err)
	state, err = f.driver.Observe(t.Context(), instance)
	must(t, err)
	return instance, state
}

func set(key, value string) vm.Change {
	return vm.Change{Set: []extraconfig.Pair{{Key: key, Value: value}}}
}

// A VM that is renamed is the same VM, and another that gets its name is another one.
func TestRenamed(t *testing.T) {
	f := newFixture(t, 2)
	v := f.vm(t)
	instance, _ := f.observed(t, v)
	renamed := v.object(t)
	task, err := renamed.Rename(t.Context(), "renamed")
	must(t, err)
	must(t, task.Wait(t.Context()))
	other := f.vm(t)
	task, err = other.object(t).Rename(t.Context(), v.name)
	must(t, err)
	must(t, task.Wait(t.Context()))

	must(t, f.driver.Apply(t.Context(), instance, set("a/b", "1")))
	v.name, other.name = "renamed", v.name
	if v.Keys(t)["a/b"] != "1" {
		t.Error("the change did not reach the VM under its new name")
	}
	if _, there := other.Keys(t)["a/b"]; there {
		t.Error("the change reached the VM that has the name now")
	}
}

// A VM that is unregistered and registered again has another managed object id, but the same
// instance UUID: it is the same VM.
func TestRegisteredAgain(t *testing.T) {
	f := newFixture(t, 1)
	v := f.vm(t)
	instance, _ := f.observed(t, v)
	must(t, f.driver.Apply(t.Context(), instance, set("a/b", "1")))
	v.Power(t, vm.PowerOff)
	before := v.object(t)
	path := v.properties(t).Config.Files.VmPathName
	must(t, before.Unregister(t.Context()))
	eventually(t, "that it is gone", func() bool {
		_, err := f.driver.Observe(t.Context(), instance)
		return errors.Is(err, vm.ErrNotFound)
	})
	err := f.driver.Apply(t.Context(), instance, set("a/b", "2"))
	if !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("apply to what is not there: %v", err)
	}

	folders, err := object.NewDatacenter(f.other.Client, *f.find(t, "DC0")).Folders(t.Context())
	must(t, err)
	task, err := folders.VmFolder.RegisterVM(t.Context(), path, v.name, false,
		object.NewResourcePool(f.other.Client, *f.find(t, "DC0/host/DC0_H0/Resources")), nil)
	must(t, err)
	must(t, task.Wait(t.Context()))
	if v.object(t).Reference() == before.Reference() {
		t.Fatal("it has the id that it had")
	}
	task, err = v.object(t).Reconfigure(t.Context(), types.VirtualMachineConfigSpec{InstanceUuid: instance}) // as vCenter keeps it
	must(t, err)
	must(t, task.Wait(t.Context()))
	state, err := f.driver.Observe(t.Context(), instance)
	must(t, err)
	must(t, f.driver.Apply(t.Context(), instance, vm.Change{Set: set("a/b", "3").Set, Version: state.Version}))
	if v.Keys(t)["a/b"] != "3" {
		t.Error("the change did not reach the VM that was registered again")
	}
}

// Hints come again after an outage, without a call of anybody, and tell of what happened during it.
func TestHintsAfterOutage(t *testing.T) {
	f := newFixture(t, 2)
	v := f.vm(t)
	instance, _ := f.observed(t, v)
	f.observed(t, f.vm(t)) // nothing happens to this one
	hints := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.driver.Watch(ctx, func(instance string) { hints <- instance }) }()
	v.Set(t, "guestinfo.x", "0")
	if hint := <-hints; hint != instance {
		t.Fatalf("a hint of %s, want %s", hint, instance)
	}

	must(t, f.sim.Interrupt())
	must(t, f.sim.GuestWrite(instance, "guestinfo.x", "1"))
	if _, err := f.driver.Resolve(t.Context(), v.name); !errors.Is(err, vm.ErrUnavailable) {
		t.Errorf("resolve during an outage: %v", err)
	}
	must(t, f.sim.Resume(context.Background()))
	if hint := <-hints; hint != instance {
		t.Errorf("a hint of %s, want %s", hint, instance)
	}
	state, err := f.driver.Observe(t.Context(), instance)
	must(t, err)
	if state.Keys["guestinfo.x"] != "1" {
		t.Error("what happened during the outage is not observed")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

// After a conflict the version that was refused is not given again, or the caller would spin.
func TestConflictIsNotObservedAgain(t *testing.T) {
	f := newFixture(t, 1)
	v := f.vm(t)
	instance, state := f.observed(t, v)
	for range 20 {
		v.Set(t, "guestinfo.x", state.Version) // the driver has heard of it, or has not
		err := f.driver.Apply(t.Context(), instance, vm.Change{Set: set("a/b", "1").Set, Version: state.Version})
		if !errors.Is(err, vm.ErrConflict) {
			t.Fatalf("apply with a stale version: %v", err)
		}
		refused := state.Version
		if state, err = f.driver.Observe(t.Context(), instance); err != nil || state.Version == refused {
			t.Fatalf("the refused version is observed again (%v)", err)
		}
	}
}

// What a task refuses asynchronously is the answer, whichever way it came to be known.
func TestTaskFails(t *testing.T) {
	f := newFixture(t, 1)
	instance, _ := f.observed(t, f.vm(t))
	for _, c := range []struct {
		fault types.BaseMethodFault
		kind  error
	}{{new(types.ConcurrentAccess), vm.ErrConflict}, {new(types.TaskInProgress), nil}, {new(types.InvalidPowerState), nil}} {
		must(t, f.sim.FailReconfigures(instance, 1, c.fault))
		err := f.driver.Apply(t.Context(), instance, set("a/b", "secret value"))
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || errors.Is(err, vm.ErrUnavailable) {
			t.Errorf("%T: %v", c.fault, err)
		}
		if fault.Is(err, c.fault) {
			t.Errorf("%T comes through as it is", c.fault)
		}
	}
	must(t, f.driver.Apply(t.Context(), instance, set("a/b", "1")))
}

// What others make of a key while a change of it is under way does not keep it from ending.
func TestOverwrittenMeanwhile(t *testing.T) {
	f := newFixture(t, 1)
	v := f.vm(t)
	instance, _ := f.observed(t, v)
	hold, err := f.sim.Hold(instance)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- f.driver.Apply(t.Context(), instance, set("guestinfo.x", "ours")) }()
	<-hold.Reached()
	select {
	case err := <-ended:
		t.Errorf("a change that is held back ended with %v", err)
	default:
	}
	hold.Release()
	must(t, f.sim.GuestWrite(instance, "guestinfo.x", "the guest's"))
	must(t, <-ended)
}

// A closed driver, and one whose password is wrong, do not hang.
func TestRefusedAndClosed(t *testing.T) {
	f := newFixture(t, 1)
	instance, _ := f.observed(t, f.vm(t))
	wrong, err := vsphere.New(vsphere.Options{URL: f.sim.URL(), Username: "user", Password: "wrong"})
	must(t, err)
	for range 3 {
		if _, err := wrong.Observe(t.Context(), instance); !errors.Is(err, vm.ErrUnavailable) {
			t.Errorf("observe with a wrong password: %v", err)
		}
	}
	if n := wrong.Calls()["Login"]; n != 1 {
		t.Errorf("%d log-ins with a wrong password, want 1", n)
	}
	must(t, wrong.Close(context.Background()))
	if _, err := wrong.Observe(t.Context(), instance); !errors.Is(err, vm.ErrUnavailable) {
		t.Errorf("observe when closed: %v", err)
	}
	if err := wrong.Refresh(t.Context()); !errors.Is(err, vm.ErrUnavailable) {
		t.Errorf("refresh when closed: %v", err)
	}
}

// Whatever vSphere says to the calls that follow VMs, they are followed again.
func TestFeedFails(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		fault  types.BaseMethodFault // nil: the connection is cut
	}{
		"version":           {"WaitForUpdatesEx", new(types.InvalidCollectorVersion)},
		"collector is gone": {"WaitForUpdatesEx", &types.ManagedObjectNotFound{Obj: types.ManagedObjectReference{Type: "PropertyCollector", Value: "x"}}},
		"session is gone":   {"WaitForUpdatesEx", new(types.NotAuthenticated)},
		"cut off":           {"WaitForUpdatesEx", nil},
		"list is gone":      {"ModifyListView", &types.ManagedObjectNotFound{Obj: types.ManagedObjectReference{Type: "ListView", Value: "x"}}},
		"list cut off":      {"ModifyListView", nil},
		"lookup":            {"FindAllByUuid", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 3)
			one, _ := f.observed(t, f.vm(t))
			two, _ := f.observed(t, f.vm(t))
			if c.fault == nil {
				f.sim.CutCalls(c.method, 1)
			} else {
				f.sim.FailCalls(c.method, 1, c.fault)
			}
			three, err := f.driver.Resolve(t.Context(), "/DC0/vm/"+f.vm(t).name)
			must(t, err)
			for n, instance := range []string{one, two, three, one, two, three} {
				value := string(rune('a' + n))
				eventually(t, "a change that is applied", func() bool {
					_, err := f.driver.Observe(t.Context(), instance)
					if err == nil {
						err = f.driver.Apply(t.Context(), instance, set("a/b", value))
					}
					if err != nil && !errors.Is(err, vm.ErrUnavailable) {
						t.Fatal(err)
					}
					return err == nil
				})
				state, err := f.driver.Observe(t.Context(), instance)
				must(t, err)
				if state.Keys["a/b"] != value {
					t.Errorf("the VM holds %q, want %q", state.Keys["a/b"], value)
				}
			}
		})
	}
}

// Some simulators have no FindAllByUuid.
func TestFindOneByUUID(t *testing.T) {
	f := newFixture(t, 1)
	uuid := f.vm(t).properties(t).Config.InstanceUuid
	f.sim.FailCalls("FindAllByUuid", 2, new(types.MethodNotFound))
	if instance, err := f.driver.Resolve(t.Context(), uuid); err != nil || instance != uuid {
		t.Errorf("found %q, want %s: %v", instance, uuid, err)
	}
	if instance, err := f.driver.Resolve(t.Context(), "00000000-0000-0000-0000-000000000000"); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("found %q where there is none: %v", instance, err)
	}
}
