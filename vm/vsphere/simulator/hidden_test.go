package simulator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

const ovfEnv, ovfValue = "guestinfo.ovfEnv", "only-the-guest-sees-this"

// TestTheGuestAloneSeesTheOVFEnvironment looks at the key in every way that the API has.
func TestTheGuestAloneSeesTheOVFEnvironment(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "config.extraConfig"), true)
	whole := c.watch()
	whole.filter(inView(c.listView(v.Reference()), "VirtualMachine", "config", `config.extraConfig["guestinfo.ovfEnv"]`, `config.extraConfig["guestinfo.ovfEnv"].value`), false)
	w.next(0)
	whole.next(0)
	told := func(what any) string {
		text := fmt.Sprintf("%+v", what)
		if strings.Contains(text, ovfValue) {
			t.Errorf("the API shows it: %s", text)
		}
		return text
	}
	read := func(value string) {
		t.Helper()
		got, ok, err := c.sim.GuestRead(c.instance(v), ovfEnv)
		if c.must(err); got != value || ok != (value != "") {
			t.Errorf("the guest reads %q, %v; want %q", got, ok, value)
		}
	}

	c.set(v, ovfEnv, ovfValue)
	read(ovfValue)
	c.want(v, ovfEnv, "")
	if text := told(objects(w.next(5))); !strings.Contains(text, ovfEnv) {
		t.Errorf("that it is there is no secret: %s", text)
	}
	told(objects(whole.next(5)))
	var all mo.VirtualMachine
	c.must(property.DefaultCollector(c.Client.Client).RetrieveOne(t.Context(), v.Reference(), nil, &all))
	for _, o := range all.Config.ExtraConfig {
		told(*o.GetOptionValue())
	}
	c.wait(v.CreateSnapshot(t.Context(), "s", "", false, false))
	var shot mo.VirtualMachineSnapshot
	c.must(property.DefaultCollector(c.Client.Client).RetrieveOne(t.Context(), *c.properties(v, "snapshot").Snapshot.CurrentSnapshot, nil, &shot))
	for _, o := range shot.Config.ExtraConfig {
		told(*o.GetOptionValue())
	}
	keys, err := c.sim.Keys(c.instance(v))
	c.must(err)
	told(keys)

	c.set(v, ovfEnv, "")
	c.wantAbsent(v, ovfEnv)
	read("")
	c.wait(v.RevertToSnapshot(t.Context(), "s", true)) // the VM is off
	c.wait(v.PowerOn(t.Context()))
	read(ovfValue)
	c.wait(v.PowerOff(t.Context()))
	c.wait(v.PowerOn(t.Context()))
	read(ovfValue)
}

// TestOVFTransport: how a VM is given its OVF environment can be set, read, watched and taken away.
func TestOVFTransport(t *testing.T) {
	const path = "config.vAppConfig.ovfEnvironmentTransport"
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", path), true)
	if u := w.wantOne(w.next(0), types.ObjectUpdateKindEnter, v.Reference()); len(u.ChangeSet) != 0 {
		t.Errorf("a VM without vApp options: %+v", u)
	}
	old := c.version(v)
	c.wait(v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{VAppConfig: &types.VmConfigSpec{OvfEnvironmentTransport: []string{"iso", "com.vmware.guestInfo"}}}))
	u := w.wantOne(w.next(5), types.ObjectUpdateKindModify, v.Reference())
	if list, ok := value(t, u, path).(types.ArrayOfString); !ok || fmt.Sprint(list.String) != "[iso com.vmware.guestInfo]" {
		t.Errorf("it is %+v", u)
	}
	if c.version(v) == old {
		t.Error("the version is as before")
	}
	c.wait(v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{VAppConfigRemoved: new(true)}))
	u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, v.Reference())
	if value(t, u, path) != nil {
		t.Errorf("it is %+v", u)
	}
}
