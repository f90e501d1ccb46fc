package simulator

import (
	"reflect"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// ovfEnv is the key whose value vSphere shows to the guest alone. The API has it without one.
const ovfEnv = "guestinfo.ovfenv"

var optionType = reflect.TypeFor[types.OptionValue]()

// shown is an option as the API shows it.
func shown(o types.OptionValue) types.OptionValue {
	if fold(o.Key) == ovfEnv {
		o.Value = ""
	}
	return o
}

// shownList is a list of options as the API shows it: the list itself, where nothing in it is hidden.
func shownList(list []types.BaseOptionValue) []types.BaseOptionValue {
	at := slices.IndexFunc(list, func(o types.BaseOptionValue) bool { return fold(o.GetOptionValue().Key) == ovfEnv })
	if at < 0 {
		return list
	}
	list = slices.Clone(list)
	o := shown(*list[at].GetOptionValue())
	list[at] = &o
	return list
}

// setTransport takes in how a VM is to be given its OVF environment, which govmomi's simulator leaves out.
func (s *Simulator) setTransport(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) {
	c := vm.Config
	switch {
	case isTrue(spec.VAppConfigRemoved):
		c.VAppConfig = nil
	case spec.VAppConfig == nil || spec.VAppConfig.GetVmConfigSpec().OvfEnvironmentTransport == nil:
		return
	default:
		if c.VAppConfig == nil {
			c.VAppConfig = new(types.VmConfigInfo)
		}
		c.VAppConfig.GetVmConfigInfo().OvfEnvironmentTransport = spec.VAppConfig.GetVmConfigSpec().OvfEnvironmentTransport
	}
	s.touch(vm)
	s.tell(vm, change{paths: []string{"config.vAppConfig", "config.changeVersion", "config.modified"}})
}
