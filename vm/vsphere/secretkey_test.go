package vsphere_test

import (
	"context"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/vm"
)

// TestOVFEnvironmentInTheWay: a VM whose OVF environment vSphere writes where the secret key would be says so, from the moment that it
// is one, and until it is none any more. Nothing is asked of vSphere for that.
func TestOVFEnvironmentInTheWay(t *testing.T) {
	f := newFixture(t, 1)
	v := f.vm(t)
	instance, state := f.observed(t, v)
	if state.NoSecrets != "" {
		t.Errorf("a VM without vApp options: %s", state.NoSecrets)
	}
	hints := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = f.driver.Watch(ctx, func(instance string) { hints <- instance }) }()
	reconfigure := func(spec types.VirtualMachineConfigSpec) {
		t.Helper()
		task, err := v.object(t).Reconfigure(t.Context(), spec)
		must(t, err)
		must(t, task.Wait(t.Context()))
	}
	transport := func(names ...string) types.VirtualMachineConfigSpec {
		return types.VirtualMachineConfigSpec{VAppConfig: &types.VmConfigSpec{OvfEnvironmentTransport: names}}
	}
	becomes := func(what string, inTheWay bool) {
		t.Helper()
		eventually(t, what, func() bool {
			state, err := f.driver.Observe(t.Context(), instance)
			must(t, err)
			return (state.NoSecrets != "") == inTheWay
		})
	}
	reconfigure(transport("iso", "com.vmware.guestInfo"))
	becomes("the VM with its own OVF environment", true)
	if _, state := f.observed(t, v); !strings.HasPrefix(state.NoSecrets, "the VM has its OVF environment in guestinfo.ovfEnv") {
		t.Errorf("it says %s", state.NoSecrets)
	}
	<-hints
	reconfigure(transport("iso"))
	becomes("the VM with its OVF environment on a disk", false)
	reconfigure(transport("com.vmware.guestInfo"))
	becomes("the VM with its own OVF environment again", true)
	reconfigure(types.VirtualMachineConfigSpec{VAppConfigRemoved: new(true)})
	becomes("the VM without vApp options", false)
}

// TestTheSecretKeyIsNeverRead: not even from what shows its value, as govmomi's simulator does and the guest's own writing may.
func TestTheSecretKeyIsNeverRead(t *testing.T) {
	f := newFixture(t, 1)
	v := f.vm(t)
	instance, before := f.observed(t, v)
	must(t, f.driver.Apply(t.Context(), instance, vm.Change{SecretKey: executor.Secret("01234567890123456789012345678901"), Version: before.Version}))
	must(t, f.sim.GuestWrite(instance, "guestinfo.OVFENV", "the guest's"))
	must(t, f.sim.GuestWrite(instance, "guestinfo.other", "1"))
	eventually(t, "what the guest wrote", func() bool {
		state, err := f.driver.Observe(t.Context(), instance)
		must(t, err)
		return state.Keys["guestinfo.other"] == "1"
	})
	for _, key := range []string{"guestinfo.ovfEnv", "guestinfo.OVFENV"} {
		if _, state := f.observed(t, v); state.Keys[key] != "" {
			t.Errorf("%s is observed", key)
		}
	}
}
