package simulator

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Searches are ours because govmomi's SearchIndex reads folders and VMs without their locks while
// others change them.

// find gives the VMs that fit. A VM is made under its folder's lock, not its own: when the lock of
// every folder has been held once, no VM that was seen before is half made.
func (*annex) find(ctx *simulator.Context, fits func(*mo.VirtualMachine) bool) []types.ManagedObjectReference {
	vms := ctx.Map.All("VirtualMachine")
	for _, folder := range ctx.Map.All("Folder") {
		ctx.WithLock(folder, func() {})
	}
	var found []types.ManagedObjectReference
	for _, e := range vms {
		if vm, ok := e.(*simulator.VirtualMachine); ok {
			ctx.WithLock(vm, func() {
				if vm.Config != nil && fits(&vm.VirtualMachine) {
					found = append(found, vm.Self)
				}
			})
		}
	}
	return found
}

func (a *annex) FindAllByUuid(ctx *simulator.Context, req *types.FindAllByUuid) soap.HasFault {
	body := &methods.FindAllByUuidBody{Res: new(types.FindAllByUuidResponse)}
	body.Res.Returnval = a.find(ctx, byUUID(req.Uuid, req.InstanceUuid))
	return body
}

func (a *annex) FindByUuid(ctx *simulator.Context, req *types.FindByUuid) soap.HasFault {
	body := &methods.FindByUuidBody{Res: new(types.FindByUuidResponse)}
	if found := a.find(ctx, byUUID(req.Uuid, req.InstanceUuid)); len(found) > 0 {
		body.Res.Returnval = &found[0]
	}
	return body
}

func byUUID(id string, instance *bool) func(*mo.VirtualMachine) bool {
	return func(v *mo.VirtualMachine) bool {
		if instance != nil && *instance {
			return strings.EqualFold(v.Config.InstanceUuid, id)
		}
		return strings.EqualFold(v.Config.Uuid, id)
	}
}

func (a *annex) FindByInventoryPath(ctx *simulator.Context, req *types.FindByInventoryPath) soap.HasFault {
	body := &methods.FindByInventoryPathBody{Res: new(types.FindByInventoryPathResponse)}
	at := a.root(ctx)
	for name := range strings.SplitSeq(strings.Trim(req.InventoryPath, "/"), "/") {
		if name != "" && at != nil {
			at = a.child(ctx, *at, name)
		}
	}
	body.Res.Returnval = at
	return body
}

func (a *annex) FindChild(ctx *simulator.Context, req *types.FindChild) soap.HasFault {
	return &methods.FindChildBody{Res: &types.FindChildResponse{Returnval: a.child(ctx, req.Entity, req.Name)}}
}

func (a *annex) root(ctx *simulator.Context) *types.ManagedObjectReference {
	for _, e := range ctx.Map.All("Folder") {
		if e.Entity().Parent == nil {
			ref := e.Reference()
			return &ref
		}
	}
	return nil
}

// child gives the entity of that name in a container.
func (a *annex) child(ctx *simulator.Context, container types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	object := ctx.Map.Get(container)
	if object == nil {
		return nil
	}
	var children []types.ManagedObjectReference
	ctx.WithLock(object, func() {
		switch c := object.(type) {
		case *simulator.Folder:
			children = append(children, c.ChildEntity...)
		case *simulator.Datacenter:
			children = append(children, c.VmFolder, c.HostFolder, c.DatastoreFolder, c.NetworkFolder)
		case *simulator.ResourcePool:
			children = append(append(children, c.ResourcePool.ResourcePool...), c.Vm...)
		case *simulator.VirtualApp:
			children = append(append(children, c.ResourcePool.ResourcePool...), c.Vm...)
		case *mo.ComputeResource:
			children = append(append(children, c.Host...), *c.ResourcePool)
		case *simulator.ClusterComputeResource:
			children = append(append(children, c.Host...), *c.ResourcePool)
		}
	})
	for _, ref := range children {
		child, ok := ctx.Map.Get(ref).(mo.Entity)
		if !ok {
			continue
		}
		same := false
		ctx.WithLock(child, func() { same = child.Entity().Name == name })
		if same {
			return &ref
		}
	}
	return nil
}
