package simulator

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// What a guest can do to its own VM, over the channel that its tools have to the host.

// GuestCanRead reports, as an error, that a guest does not see a key.
func GuestCanRead(key string) error {
	if !isGuestinfo(key) {
		return fmt.Errorf("a guest sees only keys that begin with %q: %s", guestinfo, key)
	}
	return nil
}

// GuestCanWrite reports, as an error, that a guest cannot write a key, or that value.
func GuestCanWrite(key, value string) error {
	if err := GuestCanRead(key); err != nil {
		return err
	}
	switch {
	case strings.Contains(key, "/"):
		return fmt.Errorf("a guest cannot write keys with a slash: %s", key)
	case spaces.MatchString(key) || !travels(key):
		return fmt.Errorf("no key: %q", key)
	case len(value) > maxValue:
		return fmt.Errorf("%s: a value has at most %d bytes", key, maxValue)
	case !travels(value):
		return fmt.Errorf("%s: the value has characters that cannot be stored", key)
	}
	return nil
}

// GuestRead reads a key as the guest of the VM with that instance UUID does. ok is false when the
// key is absent.
func (s *Simulator) GuestRead(instance, key string) (value string, ok bool, err error) {
	if err := GuestCanRead(key); err != nil {
		return "", false, err
	}
	err = s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Runtime.PowerState != poweredOn {
			return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: vm.Runtime.PowerState}
		}
		for _, b := range vm.Config.ExtraConfig {
			if o := b.GetOptionValue(); fold(o.Key) == fold(key) {
				value, ok = text(o.Value), true
			}
		}
		return nil
	})
	return value, ok, err
}

// GuestWrite writes a key as its guest does, without a task. An empty value deletes the key.
func (s *Simulator) GuestWrite(instance, key, value string) error {
	if err := GuestCanWrite(key, value); err != nil {
		return err
	}
	return s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Runtime.PowerState != poweredOn {
			return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: vm.Runtime.PowerState}
		}
		change := []types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}}
		if fault := acceptable(vm.Config.ExtraConfig, change); fault != nil {
			return fault
		}
		s.write(vm, s.machine(vm.Self), change)
		return nil
	})
}

// Keys gives all keys of the VM with that instance UUID, as an operator sees them.
func (s *Simulator) Keys(instance string) (map[string]string, error) {
	keys := make(map[string]string)
	err := s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		for _, b := range vm.Config.ExtraConfig {
			o := shown(*b.GetOptionValue())
			keys[o.Key] = text(o.Value)
		}
		return nil
	})
	return keys, err
}
