package simulator

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// saved is what a snapshot brings back. What it refers to does not change.
type saved struct {
	options  []types.BaseOptionValue
	volatile map[string]*types.OptionValue
	power    types.VirtualMachinePowerState
}

// snapshot takes a snapshot of a VM, whose lock is held. With memory it holds that the VM runs;
// without, the VM is off after a revert.
func (s *Simulator) snapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, name, description string, memory bool) types.ManagedObjectReference {
	m := s.machine(vm.Self)
	keep := saved{options: vm.Config.ExtraConfig, power: poweredOff}
	if memory {
		keep.power, keep.volatile = vm.Runtime.PowerState, cloneMap(m.volatile)
	}
	shot := &simulator.VirtualMachineSnapshot{VirtualMachineSnapshot: mo.VirtualMachineSnapshot{Vm: vm.Self}}
	shot.Config, _ = clone(reflect.ValueOf(*vm.Config)).Interface().(types.VirtualMachineConfigInfo)
	ref := ctx.Map.Put(shot).Reference()
	m.snapshots[ref] = keep

	info := new(types.VirtualMachineSnapshotInfo)
	if vm.Snapshot != nil {
		*info = *vm.Snapshot
	}
	node := types.VirtualMachineSnapshotTree{
		Snapshot: ref, Vm: vm.Self, Name: name, Description: description, Id: int32(len(m.snapshots)), //nolint:gosec // nobody takes that many
		CreateTime: time.Now(), State: keep.power,
	}
	if info.CurrentSnapshot == nil {
		info.RootSnapshotList = append(slices.Clone(info.RootSnapshotList), node)
		vm.RootSnapshot = append(slices.Clone(vm.RootSnapshot), ref)
	} else {
		info.RootSnapshotList = graft(info.RootSnapshotList, *info.CurrentSnapshot, node)
	}
	info.CurrentSnapshot = &ref
	s.tell(vm, s.setSnapshot(vm, info))
	return ref
}

func cloneMap(m map[string]*types.OptionValue) map[string]*types.OptionValue {
	n := make(map[string]*types.OptionValue, len(m))
	for k, v := range m {
		n[k] = v
	}
	return n
}

// graft gives a tree with a node more, below a parent.
func graft(trees []types.VirtualMachineSnapshotTree, parent types.ManagedObjectReference, node types.VirtualMachineSnapshotTree) []types.VirtualMachineSnapshotTree {
	trees = slices.Clone(trees)
	for i := range trees {
		if trees[i].Snapshot == parent {
			trees[i].ChildSnapshotList = append(slices.Clone(trees[i].ChildSnapshotList), node)
		} else {
			trees[i].ChildSnapshotList = graft(trees[i].ChildSnapshotList, parent, node)
		}
	}
	return trees
}

func (s *Simulator) setSnapshot(vm *simulator.VirtualMachine, info *types.VirtualMachineSnapshotInfo) change {
	vm.Snapshot = info
	return change{paths: []string{"snapshot", "rootSnapshot"}}
}

// revert brings a VM, whose lock is held, back to a snapshot: its keys, and its power. A VM that
// runs afterwards has another boot time, as its process is another.
func (s *Simulator) revert(vm *simulator.VirtualMachine, ref types.ManagedObjectReference) types.BaseMethodFault {
	m := s.machine(vm.Self)
	to, ok := m.snapshots[ref]
	if !ok {
		return new(types.NotFound)
	}
	changed := make(map[string]*types.OptionValue)
	for _, o := range to.options {
		changed[o.GetOptionValue().Key] = nil
	}
	for _, o := range vm.Config.ExtraConfig {
		changed[o.GetOptionValue().Key] = o.GetOptionValue()
	}
	keys := s.replace(vm, to.options, changed)
	m.volatile = cloneMap(to.volatile)
	var boot *time.Time
	if to.power != poweredOff {
		boot = new(time.Now().UTC())
	}
	power := s.setPower(vm, to.power, boot)
	info := *vm.Snapshot
	info.CurrentSnapshot = &ref
	s.tell(vm, keys, power, s.setSnapshot(vm, &info))
	return nil
}

func (a *annex) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	body := new(methods.CreateSnapshot_TaskBody)
	t, fault := a.operate(ctx, req.This, "CreateSnapshot", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		return a.sim.snapshot(ctx, vm, req.Name, req.Description, req.Memory), nil
	})
	body.Res, body.Fault_ = &types.CreateSnapshot_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	body := new(methods.CreateSnapshotEx_TaskBody)
	t, fault := a.operate(ctx, req.This, "CreateSnapshotEx", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		return a.sim.snapshot(ctx, vm, req.Name, req.Description, req.Memory), nil
	})
	body.Res, body.Fault_ = &types.CreateSnapshotEx_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) RevertToCurrentSnapshotTask(ctx *simulator.Context, req *types.RevertToCurrentSnapshot_Task) soap.HasFault {
	body := new(methods.RevertToCurrentSnapshot_TaskBody)
	t, fault := a.operate(ctx, req.This, "RevertToCurrentSnapshot", func(_ *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		if vm.Snapshot == nil || vm.Snapshot.CurrentSnapshot == nil {
			return nil, new(types.NotFound)
		}
		return nil, a.sim.revert(vm, *vm.Snapshot.CurrentSnapshot)
	})
	body.Res, body.Fault_ = &types.RevertToCurrentSnapshot_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) RevertToSnapshotTask(ctx *simulator.Context, req *types.RevertToSnapshot_Task) soap.HasFault {
	body := new(methods.RevertToSnapshot_TaskBody)
	shot, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachineSnapshot)
	if !ok {
		body.Fault_ = missing(req.This)
		return body
	}
	t, fault := a.operate(ctx, shot.Vm, "RevertToSnapshot", func(_ *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		return nil, a.sim.revert(vm, req.This)
	})
	body.Res, body.Fault_ = &types.RevertToSnapshot_TaskResponse{Returnval: t}, fault
	return body
}

// Snapshot takes a snapshot, with memory, of the VM with that instance UUID, and gives its reference.
func (s *Simulator) Snapshot(instance, name string) (ref string, err error) {
	err = s.on(instance, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		ref = s.snapshot(ctx, vm, name, "", true).Value
		return nil
	})
	return ref, err
}

// Revert brings it back to a snapshot: the keys and the power that it had then. The VM's current
// snapshot becomes that one, and the boot time another where the VM runs.
func (s *Simulator) Revert(instance, ref string) error {
	err := s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		return s.revert(vm, types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: ref})
	})
	if err != nil {
		return fmt.Errorf("revert to %s: %w", ref, err)
	}
	return nil
}
