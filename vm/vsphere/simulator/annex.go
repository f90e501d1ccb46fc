package simulator

import (
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// annex answers the calls that govmomi's simulator does not answer as vCenter would. Calls are
// redirected to it, rather than govmomi's objects replaced by ours: in dozens of places govmomi
// asserts its own types, and ends the process when it meets another.
type annex struct {
	mo.SearchIndex // govmomi wants to find one of its types in every object
}

var annexRef = types.ManagedObjectReference{Type: "SearchIndex", Value: "config-server"}

// Lock opts out of one call at a time: the methods lock what they touch.
func (*annex) Lock() {}

// Unlock is Lock's counterpart.
func (*annex) Unlock() {}

// intercept sees each call before it is known who answers it.
func (s *Simulator) intercept(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	switch req := method.Body.(type) {
	case *types.ReconfigVM_Task:
		method.This = annexRef
		return nil, refuse(req.Spec.ExtraConfig, commands)
	case *types.FindAllByUuid:
		if req.VmSearch {
			method.This = annexRef
		}
	case *types.FindByUuid:
		if req.VmSearch {
			method.This = annexRef
		}
	case *types.FindByInventoryPath, *types.FindChild:
		method.This = annexRef
	case *types.WaitForUpdatesEx, *types.WaitForUpdates:
		s.startsWaiting(ctx, method.This)
	case *types.DestroyPropertyCollector:
		s.mu.Lock()
		delete(s.waiting, method.This)
		s.mu.Unlock()
	case *types.CreateVM_Task:
		return nil, refuse(req.Config.ExtraConfig, commands, unreadable)
	case *types.CreateChildVM_Task:
		return nil, refuse(req.Config.ExtraConfig, commands, unreadable)
	case *types.CloneVM_Task:
		if req.Spec.Config != nil {
			return nil, refuse(req.Spec.Config.ExtraConfig, commands, unreadable)
		}
	case *types.ImportVApp:
		if spec, ok := req.Spec.(*types.VirtualMachineImportSpec); ok {
			return nil, refuse(spec.ConfigSpec.ExtraConfig, commands, unreadable)
		}
	case *types.InstantClone_Task:
		return nil, refuse(req.Spec.Config, commands, unreadable)
	case *types.UpdateOptions:
		return nil, refuse(req.ChangedValue, commands)
	}
	return nil, nil
}

var (
	// commands are the keys with which govmomi's simulator is told to run containers on this
	// machine, or to change properties of a VM.
	commands = regexp.MustCompile(`(?i)^(RUN\.|SET\.|ip0$)`)
	// unreadable are the keys that end the process where govmomi writes them into a property's path.
	unreadable = regexp.MustCompile(`\]`)
)

func refuse(options []types.BaseOptionValue, keys ...*regexp.Regexp) types.BaseMethodFault {
	for _, o := range options {
		for _, k := range keys {
			if k.MatchString(o.GetOptionValue().Key) {
				return &types.InvalidArgument{InvalidProperty: "extraConfig"}
			}
		}
	}
	return nil
}

// startsWaiting remembers who waits, for Close: a wait does not notice that its client has gone.
func (s *Simulator) startsWaiting(ctx *simulator.Context, ref types.ManagedObjectReference) {
	if ctx.Session == nil {
		return
	}
	if collector, ok := ctx.Session.Get(ref).(*simulator.PropertyCollector); ok {
		s.mu.Lock()
		s.waiting[collector.Self] = collector
		s.mu.Unlock()
	}
}
