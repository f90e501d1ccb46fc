package vsphere_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmtest"
	"github.com/vmexecutor/config-server/vm/vsphere"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// fixture is a simulator, the driver on it, and the client of somebody else.
type fixture struct {
	tb     testing.TB
	sim    *simulator.Simulator
	driver *vsphere.Driver
	other  *govmomi.Client
	vms    int // at the start
	used   int // VMs handed out
}

func newFixture(tb testing.TB, vms int) *fixture {
	tb.Helper()
	f := &fixture{tb: tb, vms: vms}
	f.start("127.0.0.1:0")
	f.driver = f.newDriver()
	tb.Cleanup(func() {
		if err := f.driver.Close(context.Background()); err != nil {
			tb.Errorf("close the driver: %v", err)
		}
		f.stop()
	})
	return f
}

// newDriver makes one more, which is the caller's to close.
func (f *fixture) newDriver() *vsphere.Driver {
	f.tb.Helper()
	return f.driverAt(f.sim.URL())
}

func (f *fixture) driverAt(u *url.URL) *vsphere.Driver {
	f.tb.Helper()
	driver, err := vsphere.New(vsphere.Options{URL: u, Username: simulator.Username, Password: simulator.Password})
	must(f.tb, err)
	return driver
}

func (f *fixture) start(listen string) {
	f.tb.Helper()
	sim, err := simulator.Start(context.Background(), simulator.Options{Listen: listen, VMs: f.vms})
	if err != nil {
		f.tb.Fatal(err)
	}
	f.sim = sim
	f.other = f.client()
}

func (f *fixture) stop() {
	f.tb.Helper()
	if err := f.sim.Close(context.Background()); err != nil {
		f.tb.Errorf("close the simulator: %v", err)
	}
}

// client logs in beside the driver.
func (f *fixture) client() *govmomi.Client {
	f.tb.Helper()
	u := f.sim.URL()
	u.User = url.UserPassword(simulator.Username, simulator.Password)
	c, err := govmomi.NewClient(context.Background(), u, true)
	if err != nil {
		f.tb.Fatal(err)
	}
	return c
}

func (f *fixture) harness() vmtest.Harness {
	return vmtest.Harness{
		Driver:   f.driver,
		Versions: true,
		NewVM:    func(t *testing.T) vmtest.VM { return f.vm(t) },
		Ambiguous: func(t *testing.T) string {
			v := f.vm(t)
			f.createIn(t, "another", v.name)
			return v.name
		},
		SecretKey: func(t *testing.T, v vmtest.VM) []byte {
			text, _, err := f.sim.GuestRead(v.(*simVM).properties(t).Config.InstanceUuid, "guestinfo.ovfEnv")
			must(t, err)
			key, err := base64.StdEncoding.DecodeString(text)
			must(t, err)
			return key
		},
		Stop:        func(*testing.T) { f.stop() },
		Start:       func(*testing.T) { f.start(f.sim.URL().Host) },
		EndSessions: func(t *testing.T) { f.endSessions(t) },
	}
}

// endSessions ends all sessions but the one that does it.
func (f *fixture) endSessions(t testing.TB) {
	t.Helper()
	var m mo.SessionManager
	must(t, property.DefaultCollector(f.other.Client).RetrieveOne(context.Background(), f.other.SessionManager.Reference(), []string{"sessionList", "currentSession"}, &m))
	for _, session := range m.SessionList {
		if session.Key != m.CurrentSession.Key {
			must(t, f.other.SessionManager.TerminateSession(context.Background(), []string{session.Key}))
		}
	}
}

// createIn makes a folder below the VM folder, and a VM in it.
func (f *fixture) createIn(t *testing.T, folder, name string) {
	t.Helper()
	folders, err := object.NewDatacenter(f.other.Client, *f.find(t, "DC0")).Folders(t.Context())
	must(t, err)
	made, err := folders.VmFolder.CreateFolder(t.Context(), folder)
	must(t, err)
	task, err := made.CreateVM(t.Context(), types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherGuest", Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0] " + folder},
	}, object.NewResourcePool(f.other.Client, *f.find(t, "DC0/host/DC0_H0/Resources")), nil)
	must(t, err)
	must(t, task.Wait(t.Context()))
}

func (f *fixture) find(t testing.TB, path string) *types.ManagedObjectReference {
	t.Helper()
	found, err := object.NewSearchIndex(f.other.Client).FindByInventoryPath(context.Background(), path)
	must(t, err)
	if found == nil {
		t.Fatalf("there is no %s", path)
	}
	ref := found.Reference()
	return &ref
}

// simVM is a VM as another client sees it.
type simVM struct {
	f    *fixture
	name string
}

// vm hands out one that nobody else has.
func (f *fixture) vm(t testing.TB) *simVM {
	t.Helper()
	f.used++
	if f.used > f.vms {
		t.Fatalf("the fixture has only %d VMs", f.vms)
	}
	return &simVM{f, fmt.Sprintf("vm%d", f.used)}
}

func (v *simVM) object(t testing.TB) *object.VirtualMachine {
	return object.NewVirtualMachine(v.f.other.Client, *v.f.find(t, "DC0/vm/"+v.name))
}

func (v *simVM) properties(t testing.TB) (m mo.VirtualMachine) {
	t.Helper()
	must(t, v.object(t).Properties(context.Background(), v.object(t).Reference(), []string{"config", "runtime"}, &m))
	return m
}

func (v *simVM) Refs(t *testing.T) map[string]string {
	uuid := v.properties(t).Config.InstanceUuid
	return map[string]string{
		"name": v.name, "path": "/DC0/vm/" + v.name, "path without a slash before it": "DC0/vm/" + v.name,
		"managed object id": v.object(t).Reference().Value,
		"instance UUID":     uuid, "instance UUID in upper case": upper(uuid),
	}
}

func (v *simVM) Keys(t *testing.T) map[string]string {
	keys := make(map[string]string)
	for _, o := range v.properties(t).Config.ExtraConfig {
		keys[o.GetOptionValue().Key] = fmt.Sprint(o.GetOptionValue().Value)
	}
	return keys
}

func (v *simVM) Set(t *testing.T, key, value string) { v.set(t, key, value) }

func (v *simVM) set(t testing.TB, key string, value any) {
	t.Helper()
	for {
		task, err := v.object(t).Reconfigure(context.Background(), types.VirtualMachineConfigSpec{
			ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}},
		})
		must(t, err)
		if err = task.Wait(context.Background()); !fault.Is(err, &types.TaskInProgress{}) {
			must(t, err)
			return
		}
	}
}

func (v *simVM) Power(t *testing.T, p vm.Power) {
	t.Helper()
	var task *object.Task
	var err error
	switch p {
	case vm.PowerOn:
		task, err = v.object(t).PowerOn(t.Context())
	case vm.PowerOff:
		task, err = v.object(t).PowerOff(t.Context())
	case vm.PowerSuspended:
		task, err = v.object(t).Suspend(t.Context())
	}
	must(t, err)
	must(t, task.Wait(t.Context()))
}

func (v *simVM) Remove(t *testing.T) {
	must(t, v.f.sim.RemoveVM(v.properties(t).Config.InstanceUuid))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
