package simulator

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigVMTask changes a VM as vCenter does where govmomi differs: a stale changeVersion is
// ConcurrentAccess, deleting an absent key adds nothing, keys ignore case. And the list of options
// is replaced, not changed in place, as others read it meanwhile.
func (*annex) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	body := new(methods.ReconfigVM_TaskBody)
	vm, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachine)
	if !ok {
		body.Fault_ = simulator.Fault("The object has already been deleted or has not been completely created", &types.ManagedObjectNotFound{Obj: req.This})
		return body
	}
	task := simulator.CreateTask(vm, "reconfigVm", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		return nil, reconfigure(ctx, vm, req.Spec)
	})
	ctx.WithLock(vm, func() {
		body.Res = &types.ReconfigVM_TaskResponse{Returnval: task.Run(ctx)}
	})
	return body
}

// reconfigure runs as a task, under the VM's lock.
func reconfigure(ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineConfigSpec) types.BaseMethodFault {
	switch {
	case ctx.Map.Get(vm.Self) == nil:
		return &types.ManagedObjectNotFound{Obj: vm.Self}
	case spec.ChangeVersion != "" && spec.ChangeVersion != vm.Config.ChangeVersion:
		return new(types.ConcurrentAccess)
	case vm.Config.Template && len(spec.ExtraConfig) > 0:
		return new(types.NotSupported)
	}
	options := spec.ExtraConfig
	spec.ExtraConfig, spec.ChangeVersion = nil, ""
	if !reflect.DeepEqual(spec, types.VirtualMachineConfigSpec{}) {
		if fault := reconfigureRest(ctx, vm, spec); fault != nil {
			return fault
		}
	}
	if len(options) > 0 {
		now := time.Now()
		ctx.Update(vm, []types.PropertyChange{
			{Name: "config.extraConfig", Val: merge(vm.Config.ExtraConfig, options)},
			{Name: "config.changeVersion", Val: strconv.FormatInt(now.UnixNano(), 10)},
			{Name: "config.modified", Val: now},
		})
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

// merge gives the options of a VM after a change. An empty value deletes.
func merge(now, change []types.BaseOptionValue) []types.BaseOptionValue {
	next := slices.Clone(now)
	at := make(map[string]int, len(next))
	for i, o := range next {
		at[strings.ToLower(o.GetOptionValue().Key)] = i
	}
	for _, c := range change {
		o := *c.GetOptionValue()
		i, exists := at[strings.ToLower(o.Key)]
		text, isText := o.Value.(string)
		switch {
		case o.Value == nil || isText && text == "":
			if exists {
				next[i] = nil
				delete(at, strings.ToLower(o.Key))
			}
		case exists:
			o.Key = next[i].GetOptionValue().Key
			next[i] = &o
		default:
			at[strings.ToLower(o.Key)] = len(next)
			next = append(next, &o)
		}
	}
	return slices.DeleteFunc(next, func(o types.BaseOptionValue) bool { return o == nil })
}
