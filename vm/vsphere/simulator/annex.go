package simulator

import (
	"reflect"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// annex answers the calls that govmomi's simulator does not answer as vCenter would. Calls are
// redirected to it, rather than govmomi's objects replaced by ours: in dozens of places govmomi
// asserts its own types, and ends the process when it meets another.
type annex struct {
	mo.SearchIndex // govmomi wants to find one of its types in every object
	sim            *Simulator
}

var annexRef = types.ManagedObjectReference{Type: "SearchIndex", Value: "config-server"}

// Lock opts out of one call at a time: the methods lock what they touch.
func (*annex) Lock() {}

// Unlock is Lock's counterpart.
func (*annex) Unlock() {}

// observer hears of all that happens to govmomi's objects. What the annex changes it tells itself.
type observer struct {
	mo.SearchIndex
	sim *Simulator
}

var observerRef = types.ManagedObjectReference{Type: "SearchIndex", Value: "config-server-observer"}

var _ simulator.RegisterObject = (*observer)(nil)

// PutObject hears of a new object, which may be half made.
func (o *observer) PutObject(_ *simulator.Context, object mo.Reference) {
	if vm, ok := object.(*simulator.VirtualMachine); ok {
		o.sim.index.later(vm.Self)
	}
}

// UpdateObject hears of changed properties.
func (o *observer) UpdateObject(_ *simulator.Context, object mo.Reference, changes []types.PropertyChange) {
	var c change
	for _, p := range changes {
		c.paths = append(c.paths, p.Name)
	}
	switch object := object.(type) {
	case *mo.VirtualMachine:
		o.sim.index.later(object.Self)
		if slices.Contains(c.paths, "runtime.powerState") && object.Runtime.PowerState == poweredOn { // by a clone that is to run
			object.Runtime.BootTime = new(time.Now().UTC())
			c.paths = append(c.paths, "runtime.bootTime")
		}
	case *mo.Task:
		if slices.Contains(c.paths, "info.completeTime") {
			o.sim.retire(object.Self)
		}
	}
	o.sim.watchers.changed(object.Reference(), reflect.TypeOf(object).Elem(), c)
}

// RemoveObject hears of an object that goes.
func (o *observer) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	if ref.Type == "VirtualMachine" {
		o.sim.index.remove(ref)
		o.sim.mu.Lock()
		delete(o.sim.machines, ref)
		o.sim.mu.Unlock()
	}
	o.sim.watchers.removed(ref)
}
