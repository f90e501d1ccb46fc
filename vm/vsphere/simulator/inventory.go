package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// identities is the namespace of the instance UUIDs (RFC 9562 version 5): a VM has the same one in
// every simulator, as a server pins it durably.
var identities = uuid.MustParse("3b0e2c0a-5d5c-4f0e-9a52-8f6a8f1d7c11")

// site is where VMs are made.
type site struct {
	folder     *simulator.Folder
	pool       types.ManagedObjectReference
	datacenter types.ManagedObjectReference
}

// build makes one datacenter with one host, and its VMs.
func (s *Simulator) build(ctx context.Context, vms int) error {
	s.model = simulator.VPX()
	s.model.Portgroup, s.model.Cluster, s.model.Host, s.model.Machine = 0, 0, 1, 0
	building.Lock()
	err := s.model.Create()
	building.Unlock()
	if err != nil {
		return err
	}
	registry := s.model.Map()
	datacenter, ok := registry.Any("Datacenter").(*simulator.Datacenter)
	if !ok {
		return errors.New("the inventory has no datacenter")
	}
	s.site.folder, ok = registry.Get(datacenter.VmFolder).(*simulator.Folder)
	if !ok {
		return errors.New("the inventory has no VM folder")
	}
	s.site.pool = registry.Any("ResourcePool").Reference()
	s.site.datacenter = datacenter.Self
	registry.Put(&annex{mo.SearchIndex{Self: annexRef}, s})
	registry.AddHandler(&observer{mo.SearchIndex{Self: observerRef}, s})
	return s.populate(ctx, vms)
}

// populate makes the first VMs. Waiting for each before the next would take much longer.
func (s *Simulator) populate(ctx context.Context, vms int) error {
	begun := make([]*creation, vms)
	for i := range begun {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := s.begin(fmt.Sprintf("vm%d", i+1))
		if err != nil {
			return err
		}
		begun[i] = c
	}
	for _, c := range begun {
		if err := s.finish(c); err != nil {
			return err
		}
	}
	return nil
}

// context is a new one: what it stands for in govmomi's simulator is whoever holds a lock.
func (s *Simulator) context() *simulator.Context {
	c := *s.model.Service.Context
	return &c
}

// AddVM makes a VM, switched on, with a few keys of other tools, and gives its instance UUID. The
// first VM of a name always has the same one; one that is made after that was removed is another VM.
func (s *Simulator) AddVM(name string) (instance string, err error) {
	c, err := s.begin(name)
	if err != nil {
		return "", err
	}
	return c.instance, s.finish(c)
}

// creation is a VM that is being made.
type creation struct {
	name, instance string
	ctx            *simulator.Context
	task           *simulator.Task
}

func (s *Simulator) begin(name string) (*creation, error) {
	s.mu.Lock()
	s.made[name]++
	identity := name
	if n := s.made[name]; n > 1 {
		identity = fmt.Sprintf("%s#%d", name, n)
	}
	s.mu.Unlock()
	c := &creation{name: name, instance: uuid.NewSHA1(identities, []byte(identity)).String(), ctx: s.context()}
	var err error
	c.task, err = begin(c.ctx, s.site.folder, func() soap.HasFault {
		return s.site.folder.CreateVMTask(c.ctx, &types.CreateVM_Task{
			This: s.site.folder.Self,
			Pool: s.site.pool,
			Config: types.VirtualMachineConfigSpec{
				Name:         name,
				InstanceUuid: c.instance,
				GuestId:      string(types.VirtualMachineGuestOsIdentifierOtherGuest),
				Files:        &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
				ExtraConfig: []types.BaseOptionValue{
					&types.OptionValue{Key: "disk.enableUUID", Value: "TRUE"},
					&types.OptionValue{Key: "guestinfo.metadata", Value: "instance-id: " + name},
				},
			},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	return c, nil
}

func (s *Simulator) finish(c *creation) error {
	created, err := result(c.task)
	if err != nil {
		return fmt.Errorf("create %s: %w", c.name, err)
	}
	ref, _ := created.(types.ManagedObjectReference)
	vm, ok := s.model.Map().Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return fmt.Errorf("create %s: it is gone", c.name)
	}
	s.prune(c.ctx)
	c.ctx.WithLock(vm, func() { // a task would take longer than all else
		s.tell(vm, s.setPower(vm, poweredOn, new(time.Now().UTC())))
	})
	return nil
}

// RemoveVM switches the VM with that instance UUID off, and removes it with its files. (govmomi's own Destroy_Task ends before the files are
// gone, which is a data race with the creation of another VM.)
func (s *Simulator) RemoveVM(instance string) error {
	vm, err := s.vm(instance)
	if err != nil {
		return err
	}
	ctx := s.context()
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState != poweredOff {
			s.tell(vm, s.setPower(vm, poweredOff, nil))
		}
	})
	var fault *soap.Fault
	ctx.WithLock(vm, func() { fault = vm.UnregisterVM(ctx, &types.UnregisterVM{This: vm.Self}).Fault() })
	if fault != nil {
		return fmt.Errorf("remove VM %s: %w", instance, soap.WrapSoapFault(fault))
	}
	files := ctx.Map.FileManager()
	task, err := begin(ctx, files, func() soap.HasFault {
		return files.DeleteDatastoreFileTask(ctx, &types.DeleteDatastoreFile_Task{This: files.Self, Name: vm.Config.Files.LogDirectory, Datacenter: &s.site.datacenter})
	})
	if err == nil {
		_, err = result(task)
	}
	if err != nil {
		return fmt.Errorf("remove the files of VM %s: %w", instance, err)
	}
	return nil
}

// begin starts a task on an object as a request would: under the object's lock, which passes to the task.
func begin(ctx *simulator.Context, object mo.Reference, start func() soap.HasFault) (*simulator.Task, error) {
	var started soap.HasFault
	ctx.WithLock(object, func() { started = start() })
	var ref types.ManagedObjectReference
	switch body := started.(type) {
	case *methods.CreateVM_TaskBody:
		ref = body.Res.Returnval
	case *methods.DeleteDatastoreFile_TaskBody:
		ref = body.Res.Returnval
	case *methods.ReconfigVM_TaskBody:
		ref = body.Res.Returnval
	}
	task, ok := ctx.Map.Get(ref).(*simulator.Task)
	if !ok {
		return nil, errors.New("no task was made")
	}
	return task, nil
}

// result waits for a task.
func result(task *simulator.Task) (types.AnyType, error) {
	task.Wait()
	if task.Info.Error != nil {
		return nil, soap.WrapVimFault(task.Info.Error.Fault)
	}
	return task.Info.Result, nil
}
