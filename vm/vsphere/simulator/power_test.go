package simulator_test

import (
	"testing"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// off switches a VM off, and gives the keys that it has then.
func (c *client) off(v *object.VirtualMachine) map[string]string {
	c.Helper()
	c.wait(v.PowerOff(c.Context()))
	return c.keys(v)
}

func TestVolatileKeys(t *testing.T) {
	const kept, fresh, gone, hidden = "guestinfo.kept", "guestinfo.fresh", "guestinfo.gone", "hidden/key"
	for name, want := range map[string]struct {
		volatile simulator.Volatile
		keys     map[string]string
	}{
		"reverted": {simulator.RevertChanges, map[string]string{kept: "1", gone: "1", hidden: "2"}},
		"erased":   {simulator.EraseChanges, map[string]string{hidden: "2"}},
		"kept":     {simulator.KeepChanges, map[string]string{kept: "2", fresh: "2", hidden: "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, simulator.Options{VMs: 1, Volatile: want.volatile})
			v := c.vm("vm1")
			c.off(v)
			c.set(v, kept, "1", gone, "1", hidden, "1")
			c.wait(v.PowerOn(t.Context()))
			c.set(v, kept, "2", fresh, "2", gone, "", hidden, "2")
			c.set(v, kept, "2")
			c.wait(v.Suspend(t.Context())) // is no power-off
			c.wait(v.PowerOn(t.Context()))
			version := c.version(v)
			keys := c.off(v)
			for _, key := range []string{kept, fresh, gone, hidden} {
				if keys[key] != want.keys[key] {
					t.Errorf("%s is %q after the power-off, want %q", key, keys[key], want.keys[key])
				}
			}
			if changed := c.version(v) != version; changed != (want.volatile != simulator.KeepChanges) {
				t.Errorf("the version changed: %v", changed)
			}
			// What was changed while it was off holds.
			c.set(v, kept, "3", fresh, "3")
			c.wait(v.PowerOn(t.Context()))
			if keys := c.off(v); keys[kept] != "3" || keys[fresh] != "3" {
				t.Errorf("changed while off: %v", keys)
			}
		})
	}
}

func TestBootTime(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	boot := func() string {
		m := c.properties(v, "runtime")
		if m.Runtime.BootTime == nil {
			return ""
		}
		return m.Runtime.BootTime.String()
	}
	first := boot()
	if first == "" {
		t.Fatal("a VM that runs has no boot time")
	}
	c.wait(v.Suspend(t.Context()))
	c.wait(v.PowerOn(t.Context()))
	if boot() != first {
		t.Error("a resumption moves the boot time")
	}
	c.set(v, "guestinfo.volatile", "1")
	c.wait(v.Reset(t.Context()))
	c.want(v, "guestinfo.volatile", "1")
	reset := boot()
	if reset == first {
		t.Error("a reset leaves the boot time")
	}
	c.must(v.ShutdownGuest(t.Context()))
	c.must(v.WaitForPowerState(t.Context(), types.VirtualMachinePowerStatePoweredOff))
	c.wantAbsent(v, "guestinfo.volatile")
	if boot() != "" {
		t.Error("a VM that is off has a boot time")
	}
	c.must(c.sim.PowerOn(c.instance(v)))
	if again := boot(); again == "" || again == reset || again == first {
		t.Errorf("boot time %q after %q", again, reset)
	}
}

// TestClone: a VM that govmomi makes is one like the others.
func TestClone(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.set(v, "guestinfo.mine", "1")
	task, err := v.Clone(t.Context(), object.NewFolder(c.Client.Client, *c.properties(v, "parent").Parent), "copy", types.VirtualMachineCloneSpec{PowerOn: true})
	c.wait(task, err)
	clone := c.vm("copy")
	if c.instance(clone) == c.instance(v) {
		t.Error("the clone is the VM")
	}
	if c.properties(clone, "runtime").Runtime.BootTime == nil {
		t.Error("a clone that runs has no boot time")
	}
	c.set(clone, "guestinfo.new", "1")
	c.must(clone.RebootGuest(t.Context()))
	c.want(clone, "guestinfo.new", "1")
	c.off(clone)
	c.wantAbsent(clone, "guestinfo.new")
	c.must(clone.Unregister(t.Context()))
	if found, err := object.NewSearchIndex(c.Client.Client).FindByInventoryPath(t.Context(), "DC0/vm/copy"); err != nil || found != nil {
		t.Errorf("after it was unregistered: %v, %v", found, err)
	}
}

func TestPowerStates(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	refused := func(what string, task *object.Task, err error) {
		t.Helper()
		c.must(err)
		if err := task.Wait(t.Context()); !fault.Is(err, &types.InvalidPowerState{}) {
			t.Errorf("%s: %v, want InvalidPowerState", what, err)
		}
	}
	task, err := v.PowerOn(t.Context())
	refused("on when on", task, err)
	c.wait(v.PowerOff(t.Context()))
	task, err = v.PowerOff(t.Context())
	refused("off when off", task, err)
	task, err = v.Suspend(t.Context())
	refused("suspend when off", task, err)
	task, err = v.Reset(t.Context())
	refused("reset when off", task, err)
}

func TestSnapshots(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	current := func() string { return c.properties(v, "snapshot").Snapshot.CurrentSnapshot.Value }
	c.set(v, "guestinfo.a", "1", "hidden/a", "1")
	c.wait(v.CreateSnapshot(t.Context(), "one", "", true, false))
	one := current()
	c.set(v, "guestinfo.a", "2", "hidden/a", "2", "guestinfo.b", "2")
	c.wait(v.CreateSnapshot(t.Context(), "two", "", false, false))
	if current() == one {
		t.Error("the second snapshot is the first")
	}

	boot, version := c.properties(v, "runtime.bootTime").Runtime.BootTime, c.version(v)
	c.wait(v.RevertToSnapshot(t.Context(), "one", true))
	c.want(v, "guestinfo.a", "1")
	c.want(v, "hidden/a", "1")
	c.wantAbsent(v, "guestinfo.b")
	if current() != one || c.version(v) == version || c.properties(v, "runtime.bootTime").Runtime.BootTime.Equal(*boot) {
		t.Error("a revert moves the snapshot, the version and the boot time")
	}
	if c.off(v)["guestinfo.a"] != "" {
		t.Error("a key that was volatile in the snapshot is volatile after the revert")
	}

	c.wait(v.RevertToSnapshot(t.Context(), "two", true))
	c.want(v, "guestinfo.a", "2")
	if state, err := v.PowerState(t.Context()); err != nil || state != types.VirtualMachinePowerStatePoweredOff {
		t.Errorf("after a revert to a snapshot without memory the VM is %v, %v", state, err)
	}
	c.wait(v.RevertToCurrentSnapshot(t.Context(), true))

	// The operator's own methods do the same.
	instance := c.instance(v)
	three, err := c.sim.Snapshot(instance, "three")
	c.must(err)
	c.set(v, "hidden/a", "3")
	c.must(c.sim.Revert(instance, three))
	c.want(v, "hidden/a", "2")
	if c.sim.Revert(instance, "snapshot-999") == nil {
		t.Error("a revert to nothing")
	}
}

func TestGuest(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	instance := c.instance(v)
	if named, err := c.sim.Instance("vm1"); err != nil || named != instance {
		t.Errorf("vm1 is %q, %v", named, err)
	}
	c.set(v, "guestinfo.vice./common/id", "1", "common/notes", "hidden")

	read := func(key, want string, there bool) {
		t.Helper()
		got, ok, err := c.sim.GuestRead(instance, key)
		if err != nil || got != want || ok != there {
			t.Errorf("read %s: %q, %v, %v", key, got, ok, err)
		}
	}
	read("guestinfo.vice./common/id", "1", true)
	read("GUESTINFO.VICE./common/ID", "1", true)
	read("guestinfo.none", "", false)
	if _, _, err := c.sim.GuestRead(instance, "common/notes"); err == nil {
		t.Error("a guest read a hidden key")
	}

	c.must(c.sim.GuestWrite(instance, "guestinfo.vice..started", "true"))
	c.want(v, "guestinfo.vice..started", "true")
	for _, key := range []string{"guestinfo.vice./common/id", "common/notes", "notes", "guestinfo", "guestinfo.a b"} {
		if c.sim.GuestWrite(instance, key, "x") == nil {
			t.Errorf("a guest wrote %q", key)
		}
	}
	c.must(c.sim.GuestWrite(instance, "guestinfo.vice..started", ""))
	c.wantAbsent(v, "guestinfo.vice..started")
	c.must(c.sim.PowerOff(instance))
	if err := c.sim.GuestWrite(instance, "guestinfo.x", "1"); err == nil {
		t.Error("a guest wrote while its VM was off")
	}
	if keys, err := c.sim.Keys(instance); err != nil || keys["common/notes"] != "hidden" {
		t.Errorf("an operator sees %v, %v", keys, err)
	}
}
