package vsphere

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

const kindVM = "VirtualMachine"

var (
	uuidForm   = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)
	objectForm = regexp.MustCompile(`^vm-[0-9]+$`)
)

// Resolve implements vm.Driver. A reference is an inventory path when it has a slash
// (/DC0/vm/web-1), else an instance UUID in any letter case, else a managed object id (vm-12) or
// a name, wherever in the inventory that is. The instance is the instance UUID, in lower case.
//
// An id that is also another VM's name is ErrAmbiguous: to guess would be to give one VM what
// belongs to the other.
func (d *Driver) Resolve(ctx context.Context, ref string) (string, error) {
	var instance string
	err := d.do(ctx, func(s *session) error {
		found, err := s.candidates(ctx, ref)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return notFound("VM %q does not exist in vSphere", ref)
		case len(found) > 1:
			return &failure{kind: vm.ErrAmbiguous, text: fmt.Sprintf(
				"VM %q is ambiguous, %d VMs in vSphere fit: use the inventory path (such as /datacenter/vm/name) or the instance UUID", ref, len(found))}
		}
		instance, err = s.instanceUUID(ctx, found[0])
		switch {
		case gone(err, found[0]):
			return notFound("VM %q does not exist in vSphere", ref)
		case err != nil:
			return err
		case instance == "":
			return &failure{text: fmt.Sprintf("vSphere does not show the instance UUID of VM %q: it is not accessible, or the account lacks a privilege", ref)}
		}
		s.remember(instance, found[0])
		return nil
	})
	return instance, err
}

// candidates are the VMs that ref may mean.
func (s *session) candidates(ctx context.Context, ref string) ([]types.ManagedObjectReference, error) {
	if ref == "" {
		return nil, nil
	}
	if strings.Contains(ref, "/") {
		return s.byPath(ctx, ref)
	}
	if uuid := strings.ToLower(ref); uuidForm.MatchString(uuid) {
		if found, err := s.byUUID(ctx, uuid); err != nil || len(found) > 0 {
			return found, err
		}
	}
	found, err := s.byName(ctx, ref)
	if err != nil {
		return nil, err
	}
	if object := (types.ManagedObjectReference{Type: kindVM, Value: ref}); objectForm.MatchString(ref) && !slices.Contains(found, object) {
		switch _, err := s.instanceUUID(ctx, object); {
		case err == nil:
			found = append(found, object)
		case !gone(err, object):
			return nil, err
		}
	}
	return found, nil
}

func (s *session) byUUID(ctx context.Context, uuid string) ([]types.ManagedObjectReference, error) {
	res, err := methods.FindAllByUuid(ctx, s, &types.FindAllByUuid{
		This: *s.ServiceContent.SearchIndex, Uuid: uuid, VmSearch: true, InstanceUuid: new(true),
	})
	switch {
	case fault.Is(err, &types.MethodNotFound{}):
		return s.oneByUUID(ctx, uuid)
	case err != nil:
		return nil, err
	}
	return res.Returnval, nil
}

// oneByUUID is byUUID for govmomi's vcsim as it was for long, which has no FindAllByUuid.
func (s *session) oneByUUID(ctx context.Context, uuid string) ([]types.ManagedObjectReference, error) {
	res, err := methods.FindByUuid(ctx, s, &types.FindByUuid{
		This: *s.ServiceContent.SearchIndex, Uuid: uuid, VmSearch: true, InstanceUuid: new(true),
	})
	if err != nil || res.Returnval == nil {
		return nil, err
	}
	return []types.ManagedObjectReference{*res.Returnval}, nil
}

func (s *session) byPath(ctx context.Context, path string) ([]types.ManagedObjectReference, error) {
	res, err := methods.FindByInventoryPath(ctx, s, &types.FindByInventoryPath{
		This: *s.ServiceContent.SearchIndex, InventoryPath: strings.Trim(path, "/"),
	})
	switch {
	case err != nil:
		return nil, err
	case res.Returnval == nil:
		return nil, nil
	case res.Returnval.Type != kindVM:
		return nil, notFound("%q in vSphere is not a VM but a %s", path, res.Returnval.Type)
	}
	return []types.ManagedObjectReference{*res.Returnval}, nil
}

// below selects what VMs are found in: one level, whatever the level is made of.
var below = []types.BaseSelectionSpec{
	&types.TraversalSpec{Type: "Folder", Path: "childEntity"},
	&types.TraversalSpec{Type: "Datacenter", Path: "vmFolder"},
	&types.TraversalSpec{Type: "VirtualApp", Path: "vm"},
	&types.TraversalSpec{Type: "VirtualApp", Path: "resourcePool"},
}

func (s *session) byName(ctx context.Context, name string) ([]types.ManagedObjectReference, error) {
	var found []types.ManagedObjectReference
	err := s.inventory(ctx, "name", func(v types.ObjectContent) {
		if hasName(v, name) {
			found = append(found, v.Obj)
		}
	})
	return found, err
}

// scan remembers the instance UUIDs of all VMs, but those that several have.
func (s *session) scan(ctx context.Context) error {
	vms := make(map[string]types.ManagedObjectReference)
	several := make(map[string]bool)
	err := s.inventory(ctx, "config.instanceUuid", func(v types.ObjectContent) {
		for _, p := range v.PropSet {
			if uuid, ok := p.Val.(string); ok {
				uuid = strings.ToLower(uuid)
				_, taken := vms[uuid]
				several[uuid] = several[uuid] || taken
				vms[uuid] = v.Obj
			}
		}
	})
	if err != nil {
		return err
	}
	for uuid, ref := range vms {
		if !several[uuid] {
			s.remember(uuid, ref)
		}
	}
	return nil
}

// inventory reads one property of all VMs, a level of the inventory at a time, one call each.
// A traversal of the whole tree or a view would be one call, too, but makes vSphere visit hosts and pools.
func (s *session) inventory(ctx context.Context, property string, visit func(v types.ObjectContent)) error {
	for level := []types.ManagedObjectReference{s.ServiceContent.RootFolder}; len(level) > 0; {
		spec := types.PropertyFilterSpec{ReportMissingObjectsInResults: new(true)} // a folder may go meanwhile
		for kind, path := range map[string]string{kindVM: property, "Folder": "name", "Datacenter": "name", "VirtualApp": "name"} {
			spec.PropSet = append(spec.PropSet, types.PropertySpec{Type: kind, PathSet: []string{path}})
		}
		for _, container := range level {
			spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: container, Skip: new(true), SelectSet: below})
		}
		objects, err := s.retrieve(ctx, spec)
		if err != nil {
			return err
		}
		level = nil
		for _, object := range objects {
			if object.Obj.Type == kindVM {
				visit(object)
			} else {
				level = append(level, object.Obj)
			}
		}
	}
	return nil
}

// retrieve reads what a filter selects.
func (s *session) retrieve(ctx context.Context, spec types.PropertyFilterSpec) ([]types.ObjectContent, error) {
	res, err := property.DefaultCollector(s.Client).RetrieveProperties(ctx, types.RetrieveProperties{SpecSet: []types.PropertyFilterSpec{spec}})
	if err != nil {
		return nil, err
	}
	for _, object := range res.Returnval {
		if err := missing(object); err != nil {
			return nil, err
		}
	}
	return res.Returnval, nil
}

// nameText undoes what vSphere does to names: these three are escaped in every name that it gives out.
var nameText = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%25", "%")

func hasName(object types.ObjectContent, name string) bool {
	for _, p := range object.PropSet {
		if text, ok := p.Val.(string); ok && p.Name == "name" && (text == name || nameText.Replace(text) == name) {
			return true
		}
	}
	return false
}

// missing is what an object's missing properties say about the session. Properties may be missing
// for want of a privilege, and then the object is none of ours.
func missing(object types.ObjectContent) error {
	for _, p := range object.MissingSet {
		if fault.Is(p.Fault.Fault, &types.NotAuthenticated{}) {
			return soap.WrapVimFault(p.Fault.Fault)
		}
	}
	return nil
}

// instanceUUID reads a VM's instance UUID, in lower case; empty when vSphere does not show it.
func (s *session) instanceUUID(ctx context.Context, ref types.ManagedObjectReference) (string, error) {
	var v mo.VirtualMachine
	if err := property.DefaultCollector(s.Client).RetrieveOne(ctx, ref, []string{"config.instanceUuid"}, &v); err != nil {
		return "", err
	}
	if v.Config == nil {
		return "", nil
	}
	return strings.ToLower(v.Config.InstanceUuid), nil
}
