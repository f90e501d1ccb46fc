package simulator

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Searches are ours because govmomi's SearchIndex reads folders and VMs without their locks while
// others change them.

// index finds VMs by what identifies them, as asking each of 10,000 takes too long.
type index struct {
	mu      sync.Mutex
	unread  map[types.ManagedObjectReference]bool // new, or changed by govmomi
	entries map[types.ManagedObjectReference]entry
	by      map[entryKey]map[types.ManagedObjectReference]bool
}

// entry is what identifies a VM.
type entry struct{ uuid, instance, name string }

// entryKey is one of the three.
type entryKey struct {
	field int
	value string
}

func (e entry) keys() [3]entryKey {
	return [3]entryKey{{0, strings.ToLower(e.uuid)}, {1, strings.ToLower(e.instance)}, {2, e.name}}
}

func newIndex() *index {
	return &index{
		unread:  make(map[types.ManagedObjectReference]bool),
		entries: make(map[types.ManagedObjectReference]entry),
		by:      make(map[entryKey]map[types.ManagedObjectReference]bool),
	}
}

// later notes that a VM has to be read. It may be called under the VM's lock.
func (x *index) later(ref types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unread[ref] = true
}

func (x *index) remove(ref types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.unread, ref)
	x.drop(ref)
}

func (x *index) drop(ref types.ManagedObjectReference) {
	for _, key := range x.entries[ref].keys() {
		if delete(x.by[key], ref); len(x.by[key]) == 0 {
			delete(x.by, key)
		}
	}
	delete(x.entries, ref)
}

func (x *index) put(ref types.ManagedObjectReference, e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(ref)
	x.entries[ref] = e
	for _, key := range e.keys() {
		if x.by[key] == nil {
			x.by[key] = make(map[types.ManagedObjectReference]bool)
		}
		x.by[key][ref] = true
	}
}

// find gives the VMs that have a key. A VM is made under its folder's lock, not its own: when the
// lock of every folder has been held once, no VM that was seen before is half made.
func (s *Simulator) find(ctx *simulator.Context, key entryKey) []types.ManagedObjectReference {
	x := s.index
	x.mu.Lock()
	unread := slices.Collect(maps.Keys(x.unread))
	clear(x.unread)
	x.mu.Unlock()
	if len(unread) > 0 {
		for _, folder := range ctx.Map.All("Folder") {
			ctx.WithLock(folder, func() {})
		}
	}
	for _, ref := range unread {
		vm, ok := ctx.Map.Get(ref).(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		ctx.WithLock(vm, func() {
			if vm.Config == nil {
				x.later(ref)
				return
			}
			x.put(ref, entry{uuid: vm.Config.Uuid, instance: vm.Config.InstanceUuid, name: vm.Name})
		})
		if ctx.Map.Get(ref) == nil {
			x.remove(ref) // it went meanwhile
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.SortedFunc(maps.Keys(x.by[key]), func(a, b types.ManagedObjectReference) int { return strings.Compare(a.Value, b.Value) })
}

func (a *annex) FindAllByUuid(ctx *simulator.Context, req *types.FindAllByUuid) soap.HasFault {
	body := &methods.FindAllByUuidBody{Res: new(types.FindAllByUuidResponse)}
	body.Res.Returnval = a.sim.find(ctx, byUUID(req.Uuid, isTrue(req.InstanceUuid)))
	return body
}

func (a *annex) FindByUuid(ctx *simulator.Context, req *types.FindByUuid) soap.HasFault {
	body := &methods.FindByUuidBody{Res: new(types.FindByUuidResponse)}
	if found := a.sim.find(ctx, byUUID(req.Uuid, isTrue(req.InstanceUuid))); len(found) > 0 {
		body.Res.Returnval = &found[0]
	}
	return body
}

func byUUID(id string, instance bool) entryKey {
	if instance {
		return entryKey{1, strings.ToLower(id)}
	}
	return entryKey{0, strings.ToLower(id)}
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
	for _, ref := range a.sim.find(ctx, entryKey{2, name}) {
		if vm, ok := ctx.Map.Get(ref).(*simulator.VirtualMachine); ok {
			inside := false
			ctx.WithLock(vm, func() { inside = vm.Parent != nil && *vm.Parent == container && vm.Name == name })
			if inside {
				return &ref
			}
		}
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
