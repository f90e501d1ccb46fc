package simulator

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
	suspended  = types.VirtualMachinePowerStateSuspended
)

// Volatile is what a power-off does to guestinfo keys that were changed while the VM ran. Reports
// differ, so a driver has to expect both of the first two.
type Volatile int

const (
	// RevertChanges gives such keys the values they had when the VM was switched on.
	RevertChanges Volatile = iota
	// EraseChanges removes such keys.
	EraseChanges
	// KeepChanges leaves them as they are, as govmomi's own simulator does.
	KeepChanges
)

// switchTo switches a VM, whose lock is held. The boot time is that of the last power-on from off,
// gone when the VM is off, and not moved by a resumption (VirtualMachineRuntimeInfo.bootTime).
func (s *Simulator) switchTo(vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) types.BaseMethodFault {
	now := vm.Runtime.PowerState
	switch {
	case vm.Config.Template:
		return new(types.InvalidState)
	case now == state:
		return &types.InvalidPowerState{RequestedState: state, ExistingState: now}
	case state == suspended && now != poweredOn:
		return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: now}
	}
	var keys change
	if state == poweredOff {
		keys = s.dropVolatile(vm)
	}
	boot := vm.Runtime.BootTime
	switch {
	case state == poweredOff:
		boot = nil
	case now == poweredOff:
		boot = new(time.Now().UTC())
	}
	s.tell(vm, keys, s.setPower(vm, state, boot))
	return nil
}

func (s *Simulator) setPower(vm *simulator.VirtualMachine, state types.VirtualMachinePowerState, boot *time.Time) change {
	vm.Runtime.PowerState, vm.Runtime.BootTime = state, boot
	vm.Summary.Runtime.PowerState, vm.Summary.Runtime.BootTime = state, boot
	return change{paths: []string{
		"runtime.powerState", "runtime.bootTime", "summary.runtime.powerState", "summary.runtime.bootTime",
	}}
}

// dropVolatile is what becomes of volatile keys at a power-off.
func (s *Simulator) dropVolatile(vm *simulator.VirtualMachine) change {
	m := s.machine(vm.Self)
	if len(m.volatile) == 0 {
		return change{}
	}
	var back []types.BaseOptionValue
	for _, o := range vm.Config.ExtraConfig {
		if before, ok := m.volatile[fold(o.GetOptionValue().Key)]; ok && (before == nil || s.volatile == EraseChanges) {
			back = append(back, &types.OptionValue{Key: o.GetOptionValue().Key, Value: ""})
		}
	}
	for _, before := range m.volatile {
		if before != nil && s.volatile == RevertChanges {
			back = append(back, before)
		}
	}
	clear(m.volatile)
	next, changed := merge(vm.Config.ExtraConfig, back)
	return s.replace(vm, next, changed)
}

// operate does something to a VM as a task, when a client asks for it.
func (a *annex) operate(ctx *simulator.Context, ref types.ManagedObjectReference, name string, do func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault)) (types.ManagedObjectReference, *soap.Fault) {
	vm, ok := ctx.Map.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return types.ManagedObjectReference{}, missing(ref)
	}
	own := *ctx
	t := a.sim.newTask(ctx, vm.Self, name)
	a.sim.running.Go(func() {
		a.sim.taskRuns(&own, t)
		a.sim.pause(a.sim.latency().task())
		var result types.AnyType
		var fault types.BaseMethodFault
		own.WithLock(vm, func() {
			if own.Map.Get(ref) == nil {
				fault = &types.ManagedObjectNotFound{Obj: ref}
				return
			}
			result, fault = do(&own, vm)
		})
		a.sim.taskEnds(&own, t, result, fault)
	})
	return t.Self, nil
}

func (a *annex) switches(ctx *simulator.Context, ref types.ManagedObjectReference, name string, state types.VirtualMachinePowerState) (types.ManagedObjectReference, *soap.Fault) {
	return a.operate(ctx, ref, name, func(_ *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		return nil, a.sim.switchTo(vm, state)
	})
}

func (a *annex) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	body := new(methods.PowerOnVM_TaskBody)
	t, fault := a.switches(ctx, req.This, "PowerOnVM", poweredOn)
	body.Res, body.Fault_ = &types.PowerOnVM_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	body := new(methods.PowerOffVM_TaskBody)
	t, fault := a.switches(ctx, req.This, "PowerOffVM", poweredOff)
	body.Res, body.Fault_ = &types.PowerOffVM_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) SuspendVMTask(ctx *simulator.Context, req *types.SuspendVM_Task) soap.HasFault {
	body := new(methods.SuspendVM_TaskBody)
	t, fault := a.switches(ctx, req.This, "SuspendVM", suspended)
	body.Res, body.Fault_ = &types.SuspendVM_TaskResponse{Returnval: t}, fault
	return body
}

func (a *annex) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	body := new(methods.ResetVM_TaskBody)
	t, fault := a.operate(ctx, req.This, "ResetVM", func(_ *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		return nil, a.sim.reset(vm)
	})
	body.Res, body.Fault_ = &types.ResetVM_TaskResponse{Returnval: t}, fault
	return body
}

// reset presses the button: the VM goes on running, so volatile keys stay. Its lock is held.
func (s *Simulator) reset(vm *simulator.VirtualMachine) types.BaseMethodFault {
	if vm.Runtime.PowerState != poweredOn {
		return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: vm.Runtime.PowerState}
	}
	s.tell(vm, s.setPower(vm, poweredOn, new(time.Now().UTC())))
	return nil
}

// ShutdownGuest is a power-off that the guest carries out.
func (a *annex) ShutdownGuest(ctx *simulator.Context, req *types.ShutdownGuest) soap.HasFault {
	body := new(methods.ShutdownGuestBody)
	_, body.Fault_ = a.switches(ctx, req.This, "ShutdownGuest", poweredOff)
	body.Res = new(types.ShutdownGuestResponse)
	return body
}

// RebootGuest is a reboot that the guest carries out: vSphere sees nothing of it.
func (a *annex) RebootGuest(ctx *simulator.Context, req *types.RebootGuest) soap.HasFault {
	body := new(methods.RebootGuestBody)
	vm, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachine)
	if !ok {
		body.Fault_ = missing(req.This)
		return body
	}
	ctx.WithLock(vm, func() {
		if now := vm.Runtime.PowerState; now != poweredOn {
			body.Fault_ = simulator.Fault("", &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: now})
		}
	})
	body.Res = new(types.RebootGuestResponse)
	return body
}

// PowerOn switches the VM with that instance UUID on, or resumes it.
func (s *Simulator) PowerOn(instance string) error { return s.power(instance, poweredOn) }

// PowerOff switches it off.
func (s *Simulator) PowerOff(instance string) error { return s.power(instance, poweredOff) }

// Suspend suspends it.
func (s *Simulator) Suspend(instance string) error { return s.power(instance, suspended) }

// Reset resets it: it boots anew, and keeps its volatile keys.
func (s *Simulator) Reset(instance string) error {
	return s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault { return s.reset(vm) })
}

func (s *Simulator) power(instance string, state types.VirtualMachinePowerState) error {
	return s.on(instance, func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		return s.switchTo(vm, state)
	})
}
