package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// site is a vSphere in the test's process, and somebody else's client on it. VMs outlive the server
// there, and the client, made of what govc is made of, shares nothing with our driver.
type site struct {
	*testing.T
	sim    *simulator.Simulator
	client *govmomi.Client
}

func newSite(t *testing.T, vms int) *site {
	t.Helper()
	sim, err := simulator.Start(t.Context(), simulator.Options{Listen: "127.0.0.1:0", VMs: vms})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	u := sim.URL()
	u.User = url.UserPassword(simulator.Username, simulator.Password)
	client, err := govmomi.NewClient(t.Context(), u, true)
	if err != nil {
		t.Fatal(err)
	}
	return &site{T: t, sim: sim, client: client}
}

// start runs a server that pushes to this vSphere.
func (s *site) start(dataDir string) *server {
	s.Helper()
	env := []string{"VSPHERE_USERNAME=" + simulator.Username, "VSPHERE_PASSWORD=" + simulator.Password}
	return start(s.T, dataDir, env, "--vsphere-url", s.sim.URL().String())
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
	v := s.vm(name)
	var m mo.VirtualMachine
	if err := v.Properties(s.Context(), v.Reference(), []string{"config.extraConfig"}, &m); err != nil {
		s.Fatal(err)
	}
	return pairs(m.Config.ExtraConfig)
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
	task, err := s.vm(name).Reconfigure(s.Context(), spec)
	if err == nil {
		err = task.Wait(s.Context())
	}
	if err != nil {
		s.Fatal(err)
	}
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
// and nothing else.
func (s *site) expectHeld(name string, others map[string]string, reported map[string]keyRow) {
	s.Helper()
	want := maps.Clone(others)
	for key, row := range reported {
		if want[key] = row.Value; row.Value == "" {
			want[key] = "<nil>"
		}
	}
	held := s.held(name)
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
