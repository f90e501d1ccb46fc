package simulator

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// maxValue is what a value can hold: what a message between a guest and its host can.
	maxValue = 64 << 10
	// maxGuestinfo is what the guestinfo keys and values of a VM can hold together
	// (tools.setInfo.sizeLimit in a VM's configuration).
	maxGuestinfo = 1 << 20
	// guestinfo is what the keys begin with that a guest can see.
	guestinfo = "guestinfo."
)

// ReconfigVMTask changes a VM as vCenter does where govmomi differs: see the package comment.
func (a *annex) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	body := new(methods.ReconfigVM_TaskBody)
	vm, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachine)
	if !ok {
		body.Fault_ = missing(req.This)
		return body
	}
	own := *ctx // the lock that a task holds is its own
	m := a.sim.machine(vm.Self)
	lost := m.loses(a.sim.every)
	t := a.sim.newTask(ctx, vm.Self, "ReconfigVM")
	a.sim.enqueue(m, &job{ctx: &own, task: t, run: func() (fault types.BaseMethodFault) {
		own.WithLock(vm, func() { fault = a.sim.reconfigure(&own, vm, m, req.Spec) })
		return fault
	}})
	if lost {
		<-t.done
		cut()
	}
	body.Res = &types.ReconfigVM_TaskResponse{Returnval: t.Self}
	return body
}

// reconfigure runs as a task, under the VM's lock.
func (s *Simulator) reconfigure(ctx *simulator.Context, vm *simulator.VirtualMachine, m *machine, spec types.VirtualMachineConfigSpec) types.BaseMethodFault {
	switch {
	case ctx.Map.Get(vm.Self) == nil:
		return &types.ManagedObjectNotFound{Obj: vm.Self}
	case spec.ChangeVersion != "" && spec.ChangeVersion != vm.Config.ChangeVersion:
		return new(types.ConcurrentAccess)
	case vm.Config.Template && len(spec.ExtraConfig) > 0:
		return new(types.NotSupported)
	}
	options := spec.ExtraConfig
	if fault := acceptable(vm.Config.ExtraConfig, options); fault != nil {
		return fault
	}
	spec.ExtraConfig, spec.ChangeVersion = nil, ""
	if !reflect.DeepEqual(spec, types.VirtualMachineConfigSpec{}) {
		if fault := reconfigureRest(ctx, vm, spec); fault != nil {
			return fault
		}
		s.setTransport(vm, &spec)
	}
	if len(options) > 0 {
		s.write(vm, m, options)
	}
	return nil
}

// reconfigureRest leaves all but the options to govmomi, whose task shares our lock.
func reconfigureRest(ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineConfigSpec) types.BaseMethodFault {
	task, err := begin(ctx, vm, func() soap.HasFault {
		return vm.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: vm.Self, Spec: spec})
	})
	if err != nil {
		return new(types.NotSupported)
	}
	task.Wait()
	if task.Info.Error != nil {
		return task.Info.Error.Fault
	}
	return nil
}

// fold gives a key as it is compared: the case of ASCII letters does not count.
func fold(key string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, key)
}

func isGuestinfo(key string) bool {
	return len(key) >= len(guestinfo) && strings.EqualFold(key[:len(guestinfo)], guestinfo)
}

func text(value types.AnyType) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// spaces are not possible in the keys of a VMX file, which holds them in vSphere.
var spaces = regexp.MustCompile(`^$|\s`)

// acceptable refuses what vSphere does: keys that are none, values that are too large.
func acceptable(now, change []types.BaseOptionValue) types.BaseMethodFault {
	if fault := refuse(change, commands, spaces); fault != nil {
		return fault
	}
	sizes := make(map[string]int)
	size := func(o *types.OptionValue) {
		if isGuestinfo(o.Key) {
			sizes[fold(o.Key)] = len(o.Key) + len(text(o.Value))
		}
	}
	for _, b := range now {
		size(b.GetOptionValue())
	}
	grows := false
	for _, b := range change {
		o := b.GetOptionValue()
		value := text(o.Value)
		if len(value) > maxValue || !travels(value) || !travels(o.Key) {
			return &types.InvalidArgument{InvalidProperty: "extraConfig"}
		}
		before := sizes[fold(o.Key)]
		if value == "" {
			delete(sizes, fold(o.Key))
		} else {
			size(o)
		}
		grows = grows || sizes[fold(o.Key)] > before
	}
	total := 0
	for n := range maps.Values(sizes) {
		total += n
	}
	if grows && total > maxGuestinfo {
		return &types.InvalidArgument{InvalidProperty: "extraConfig"}
	}
	return nil
}

// travels reports whether XML can carry a text.
func travels(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}) < 0 && strings.ToValidUTF8(text, "") == text
}

// write changes a VM's options. Its lock is held, and the change is acceptable.
func (s *Simulator) write(vm *simulator.VirtualMachine, m *machine, options []types.BaseOptionValue) {
	next, changed := merge(vm.Config.ExtraConfig, options)
	for key, before := range changed {
		switch _, noted := m.volatile[fold(key)]; {
		case !isGuestinfo(key) || s.volatile == KeepChanges:
		case vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn:
			delete(m.volatile, fold(key))
		case !noted:
			m.volatile[fold(key)] = before
		}
	}
	s.tell(vm, s.replace(vm, next, changed))
}

// replace gives a VM other options.
func (s *Simulator) replace(vm *simulator.VirtualMachine, next []types.BaseOptionValue, changed map[string]*types.OptionValue) change {
	vm.Config.ExtraConfig = next
	s.touch(vm)
	keys := make(map[string]bool, len(changed))
	for key, before := range changed {
		keys[key] = before != nil
	}
	return change{paths: []string{"config.changeVersion", "config.modified"}, keys: keys}
}

// merge gives the options of a VM after a change, and what the keys in it were before. An empty
// value deletes.
func merge(now, change []types.BaseOptionValue) (next []types.BaseOptionValue, changed map[string]*types.OptionValue) {
	next = slices.Clone(now)
	changed = make(map[string]*types.OptionValue, len(change))
	at := make(map[string]int, len(next))
	for i, o := range next {
		at[fold(o.GetOptionValue().Key)] = i
	}
	for _, c := range change {
		o := *c.GetOptionValue()
		i, exists := at[fold(o.Key)]
		var before *types.OptionValue
		if exists {
			before = next[i].GetOptionValue()
			o.Key = before.Key
		}
		if _, twice := changed[o.Key]; !twice {
			changed[o.Key] = before
		}
		switch {
		case text(o.Value) == "" && exists:
			next[i] = nil
			delete(at, fold(o.Key))
		case text(o.Value) == "":
		case exists:
			next[i] = &o
		default:
			at[fold(o.Key)] = len(next)
			next = append(next, &o)
		}
	}
	return slices.DeleteFunc(next, func(o types.BaseOptionValue) bool { return o == nil }), changed
}
