package vsphere

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// imaged are the properties that an image is made of.
var imaged = []string{
	"config.instanceUuid", "config.extraConfig", "config.changeVersion",
	"runtime.powerState", "runtime.bootTime", "snapshot", transports,
}

var powers = map[types.VirtualMachinePowerState]vm.Power{
	types.VirtualMachinePowerStatePoweredOn:  vm.PowerOn,
	types.VirtualMachinePowerStatePoweredOff: vm.PowerOff,
	types.VirtualMachinePowerStateSuspended:  vm.PowerSuspended,
}

// image is what vSphere said of a VM, property by property.
type image struct {
	instance string // empty while vSphere does not show the configuration
	keys     map[string]string
	shared   bool // keys was given to callers: it is copied before it changes
	version  string
	power    types.VirtualMachinePowerState
	boot     string
	snapshot string
	ovf      bool // the VM's own OVF environment is where a secret key would be
}

// set takes a change in. It reports false for one that it does not understand: then the VM has
// to be read again. With partial updates vSphere may name a key (config.extraConfig["k"]), or
// give the whole list all the same.
func (i *image) set(c types.PropertyChange) bool {
	gone := c.Val == nil || c.Op == types.PropertyChangeOpRemove || c.Op == types.PropertyChangeOpIndirectRemove
	if gone {
		c.Val = nil
	}
	ok := true
	switch c.Name {
	case "config.instanceUuid":
		i.instance, ok = textOf[string](c.Val)
		i.instance = strings.ToLower(i.instance)
	case "config.changeVersion":
		i.version, ok = textOf[string](c.Val)
	case "runtime.powerState":
		i.power, ok = textOf[types.VirtualMachinePowerState](c.Val)
	case "runtime.bootTime":
		i.boot = ""
		if !gone {
			var at time.Time
			at, ok = c.Val.(time.Time)
			i.boot = at.UTC().Format(time.RFC3339Nano)
		}
	case transports:
		ok = i.setTransports(c.Val)
	case "snapshot":
		i.snapshot = ""
		if !gone {
			var info types.VirtualMachineSnapshotInfo
			if info, ok = c.Val.(types.VirtualMachineSnapshotInfo); ok && info.CurrentSnapshot != nil {
				i.snapshot = info.CurrentSnapshot.Value
			}
		}
	case "snapshot.currentSnapshot":
		i.snapshot = ""
		if !gone {
			var ref types.ManagedObjectReference
			ref, ok = c.Val.(types.ManagedObjectReference)
			i.snapshot = ref.Value
		}
	case "config.extraConfig":
		i.keys, i.shared = make(map[string]string), false
		if !gone {
			var list types.ArrayOfOptionValue
			list, ok = c.Val.(types.ArrayOfOptionValue)
			for _, o := range list.OptionValue {
				i.setKey(o.GetOptionValue())
			}
		}
	default:
		return strings.HasPrefix(c.Name, "snapshot.") || i.setOne(c)
	}
	return ok
}

// textOf is a property that is text of some type, empty when it is unset.
func textOf[T ~string](value any) (T, bool) {
	if value == nil {
		return "", true
	}
	v, ok := value.(T)
	return v, ok
}

func (i *image) setKey(o *types.OptionValue) {
	if isSecretKey(o.Key) {
		return // some that are not vSphere show its value
	}
	i.own()
	i.keys[o.Key] = extraconfig.Unescape(text(o.Value))
}

// own makes the keys the image's alone.
func (i *image) own() {
	if i.shared {
		i.keys, i.shared = maps.Clone(i.keys), false
	}
}

// setOne takes in a change of one key.
func (i *image) setOne(c types.PropertyChange) bool {
	key, named := strings.CutPrefix(c.Name, `config.extraConfig["`)
	if !named || i.keys == nil {
		return false
	}
	if inner, ok := strings.CutSuffix(key, `"].value`); ok {
		if isSecretKey(inner) {
			return true
		}
		if _, known := i.keys[inner]; known && c.Val != nil {
			i.setKey(&types.OptionValue{Key: inner, Value: c.Val})
			return true
		}
		return false
	}
	key, named = strings.CutSuffix(key, `"]`)
	if !named {
		return false
	}
	if isSecretKey(key) {
		return true
	}
	switch v := c.Val.(type) {
	case nil:
		_, known := i.keys[key]
		i.own()
		delete(i.keys, key)
		return known
	case types.OptionValue:
		i.setKey(&v)
	case types.BaseOptionValue:
		i.setKey(v.GetOptionValue())
	default:
		return false
	}
	return true
}

// text is an option's value: vSphere gives some of them back as numbers and booleans.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// epoch is made of what a power change or a revert moves. A suspended VM goes on where it was.
func (i *image) epoch() string {
	power := i.power
	if power == types.VirtualMachinePowerStateSuspended {
		power = types.VirtualMachinePowerStatePoweredOn
	}
	return string(power) + " " + i.boot + " " + i.snapshot
}

// state is the image as the contract has it.
func (i *image) state() vm.State {
	i.shared = true
	s := vm.State{Keys: i.keys, Power: vm.PowerUnknown, Epoch: i.epoch(), Boot: i.boot, Version: i.version}
	if s.Keys == nil {
		s.Keys = make(map[string]string)
	}
	if p, ok := powers[i.power]; ok {
		s.Power = p
	}
	if i.ovf {
		s.NoSecrets = noSecrets
	}
	return s
}

// same reports whether nothing that callers see differs.
func (i *image) same(o *image) bool {
	return i.instance == o.instance && i.version == o.version && i.epoch() == o.epoch() && i.ovf == o.ovf && maps.Equal(i.keys, o.keys)
}

// shows reports whether a VM like this is what the change would have made of it.
func (i *image) shows(c *vm.Change) bool {
	for _, p := range c.Set {
		if value, ok := i.keys[p.Key]; !ok || value != p.Value {
			return false
		}
	}
	for _, key := range c.Delete {
		if _, ok := i.keys[key]; ok {
			return false
		}
	}
	return true
}
