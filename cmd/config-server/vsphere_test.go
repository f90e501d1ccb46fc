package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// site is a vSphere that outlives the server, with VMs named vm1, vm2 and so on, and somebody else's client on it. That is made of
// what govc is made of, and shares nothing with our driver.
type site struct {
	*testing.T
	url    *url.URL
	client *govmomi.Client
}

func newSite(t *testing.T, h hypervisor, vms int) *site {
	t.Helper()
	return siteAt(t, h.serve(t, vms), vms)
}

func siteAt(t *testing.T, u *url.URL, vms int) *site {
	t.Helper()
	client, err := govmomi.NewClient(t.Context(), u, true)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t, u, client}
	t.Cleanup(func() {
		if err := client.Logout(context.Background()); err != nil {
			t.Error(err)
		}
	})
	found, err := find.NewFinder(client.Client).VirtualMachineList(t.Context(), "/DC0/vm/*")
	if err != nil || len(found) != vms {
		t.Fatalf("found %d VMs, want %d: %v", len(found), vms, err)
	}
	for n, v := range found {
		name := fmt.Sprintf("vm%d", n+1)
		if strings.HasPrefix(v.Name(), "DC0_") { // as vcsim names them
			s.done(v.Rename(t.Context(), name))
			s.set(name, map[string]string{"guestinfo.metadata": "instance-id: " + name})
		}
	}
	return s
}

// start runs a server that pushes to this vSphere.
func (s *site) start(dataDir string, args ...string) *server {
	s.Helper()
	password, _ := s.url.User.Password()
	address := *s.url
	address.User = nil
	return start(s.T, dataDir, []string{"VSPHERE_USERNAME=" + s.url.User.Username(), "VSPHERE_PASSWORD=" + password},
		append(args, "--vsphere-url", address.String(), "--vsphere-insecure")...)
}

// done waits for a task that was begun.
func (s *site) done(task *object.Task, err error) {
	s.Helper()
	if err == nil {
		err = task.Wait(s.Context())
	}
	if err != nil {
		s.Fatal(err)
	}
}

// create makes a VM, as an operator does.
func (s *site) create(name string) {
	s.Helper()
	finder := find.NewFinder(s.client.Client)
	folder, err1 := finder.Folder(s.Context(), "/DC0/vm")
	pool, err2 := finder.ResourcePool(s.Context(), "/DC0/host/DC0_H0/Resources")
	if err := errors.Join(err1, err2); err != nil {
		s.Fatal(err)
	}
	s.done(folder.CreateVM(s.Context(), types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherGuest", Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0] " + name},
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.metadata", Value: "instance-id: " + name}},
	}, pool, nil))
	s.done(s.vm(name).PowerOn(s.Context()))
}

func (s *site) rename(name, to string) {
	s.Helper()
	s.done(s.vm(name).Rename(s.Context(), to))
}

func (s *site) vm(name string) *object.VirtualMachine {
	s.Helper()
	v, err := find.NewFinder(s.client.Client).VirtualMachine(s.Context(), "/DC0/vm/"+name)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// held gives what a VM holds, as vSphere tells it: an empty value is <nil>.
func (s *site) held(name string) map[string]string {
	s.Helper()
	return s.machine(name).keys()
}

func held(ctx context.Context, v *object.VirtualMachine) (map[string]string, error) {
	var m mo.VirtualMachine
	if err := v.Properties(ctx, v.Reference(), []string{"config.extraConfig"}, &m); err != nil {
		return nil, err
	}
	return pairs(m.Config.ExtraConfig), nil
}

// all gives what each VM holds, in one call.
func (s *site) all() (all []map[string]string) {
	s.Helper()
	found, err := find.NewFinder(s.client.Client).VirtualMachineList(s.Context(), "/DC0/vm/*")
	if err != nil {
		s.Fatal(err)
	}
	var refs []types.ManagedObjectReference
	for _, v := range found {
		refs = append(refs, v.Reference())
	}
	var vms []mo.VirtualMachine
	if err := property.DefaultCollector(s.client.Client).Retrieve(s.Context(), refs, []string{"config.extraConfig"}, &vms); err != nil {
		s.Fatal(err)
	}
	for _, v := range vms {
		all = append(all, pairs(v.Config.ExtraConfig))
	}
	return all
}

func pairs(options []types.BaseOptionValue) map[string]string {
	m := map[string]string{}
	for _, o := range options {
		m[o.GetOptionValue().Key] = fmt.Sprint(o.GetOptionValue().Value)
	}
	return m
}

// set writes keys as another tool does.
func (s *site) set(name string, keys map[string]string) {
	s.Helper()
	var spec types.VirtualMachineConfigSpec
	for key, value := range keys {
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: key, Value: value})
	}
	s.done(s.vm(name).Reconfigure(s.Context(), spec))
}

// await waits until a VM holds what is wanted of it.
func (s *site) await(name string, wanted func(map[string]string) bool) {
	s.Helper()
	err := property.Wait(s.Context(), property.DefaultCollector(s.client.Client), s.vm(name).Reference(), []string{"config.extraConfig"},
		func(changes []types.PropertyChange) bool {
			for _, c := range changes {
				if options, ok := c.Val.(types.ArrayOfOptionValue); ok && wanted(pairs(options.OptionValue)) {
					return true
				}
			}
			return false
		})
	if err != nil {
		s.Fatal(err)
	}
}

// awaitClean waits until a VM holds the keys of other tools and nothing else.
func (s *site) awaitClean(name string, others map[string]string) {
	s.Helper()
	s.await(name, func(held map[string]string) bool { return maps.Equal(held, others) })
}

// expectHeld wants a VM to hold the keys that the server reports and those of other tools, all as they are,
// and nothing else, but for the key that opens secrets where there are some.
func (s *site) expectHeld(name string, others map[string]string, reported map[string]keyRow) {
	s.Helper()
	want, secrets := maps.Clone(others), false
	for key, row := range reported {
		secrets = secrets || row.Secret
		if want[key] = row.Value; row.Value == "" {
			want[key] = "<nil>"
		}
	}
	held := s.held(name)
	if _, opens := held["guestinfo.ovfEnv"]; opens != secrets {
		s.Errorf("%s: there are secrets: %v, and there is a key to them: %v", name, secrets, opens)
	}
	delete(held, "guestinfo.ovfEnv")
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if value, ok := held[key]; !ok || value != want[key] {
			s.Errorf("%s: %s is %q (held: %v), want %q", name, key, value, ok, want[key])
		}
		delete(held, key)
	}
	for _, key := range slices.Sorted(maps.Keys(held)) {
		s.Errorf("%s: %s should not be there", name, key)
	}
}
