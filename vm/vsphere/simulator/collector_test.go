package simulator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

func value(t *testing.T, u types.ObjectUpdate, name string) any {
	t.Helper()
	for _, c := range u.ChangeSet {
		if c.Name == name {
			return c.Val
		}
	}
	t.Fatalf("%s %s says nothing of %s: %+v", u.Kind, u.Obj, name, u.ChangeSet)
	return nil
}

func (w *watch) wantOne(set *types.UpdateSet, kind types.ObjectUpdateKind, ref types.ManagedObjectReference) types.ObjectUpdate {
	w.Helper()
	all := objects(set)
	if len(all) != 1 || all[0].Kind != kind || all[0].Obj != ref {
		w.Fatalf("got %+v, want %s %s", all, kind, ref)
	}
	return all[0]
}

func TestWatchAView(t *testing.T) {
	c := start(t, simulator.Options{VMs: 3})
	w := c.watch()
	one, two := c.vm("vm1"), c.vm("vm2")
	list := c.listView(one.Reference())
	w.filter(inView(list, "VirtualMachine", "config.extraConfig", "config.changeVersion", "runtime.powerState", "snapshot.currentSnapshot"), false)

	u := w.wantOne(w.next(0), types.ObjectUpdateKindEnter, one.Reference())
	if power := value(t, u, "runtime.powerState"); power != types.VirtualMachinePowerStatePoweredOn {
		t.Errorf("power is %v", power)
	}
	if options := value(t, u, "config.extraConfig").(types.ArrayOfOptionValue).OptionValue; len(options) != len(c.keys(one)) {
		t.Errorf("%d keys", len(options))
	}
	if w.next(0) != nil {
		t.Error("there is something new")
	}
	c.set(two, "a/b", "1") // nobody watches it
	if set := w.next(0); set != nil {
		t.Errorf("a VM that is not in the view: %+v", objects(set))
	}
	c.set(one, "a/b", "1")
	u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, one.Reference())
	if v := value(t, u, "config.changeVersion"); v != c.version(one) {
		t.Errorf("version is %v", v)
	}
	value(t, u, "config.extraConfig")

	c.wait(one.PowerOff(t.Context()))
	for u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, one.Reference()); len(u.ChangeSet) != 1 || u.ChangeSet[0].Name != "runtime.powerState"; {
		u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, one.Reference())
	}
	c.wait(one.CreateSnapshot(t.Context(), "s", "", false, false))
	u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, one.Reference())
	if _, ok := value(t, u, "snapshot.currentSnapshot").(types.ManagedObjectReference); !ok {
		t.Errorf("the snapshot is %+v", u)
	}

	// What the view lists changes, in one call.
	gone := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-99999"}
	res, err := methods.ModifyListView(t.Context(), c.Client, &types.ModifyListView{
		This: list, Add: []types.ManagedObjectReference{two.Reference(), gone}, Remove: []types.ManagedObjectReference{one.Reference()},
	})
	c.must(err)
	if len(res.Returnval) != 1 || res.Returnval[0] != gone {
		t.Errorf("unresolved are %v", res.Returnval)
	}
	set := objects(w.next(5))
	if len(set) != 2 || set[0].Kind != types.ObjectUpdateKindLeave || set[0].Obj != one.Reference() || set[1].Kind != types.ObjectUpdateKindEnter || set[1].Obj != two.Reference() {
		t.Errorf("after a change of the view: %+v", set)
	}
	c.must(c.sim.RemoveVM(c.instance(two)))
	for u := objects(w.next(5)); u[0].Kind != types.ObjectUpdateKindLeave; u = objects(w.next(5)) { // it is switched off first
	}
}

func TestPartialUpdates(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.set(v, "guestinfo.old", "1", "guestinfo.gone", "1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "config.extraConfig", "config.changeVersion"), true)
	w.next(0)

	c.set(v, "guestinfo.old", "2", "guestinfo.gone", "", "guestinfo.new", "1", "guestinfo.none", "")
	u := w.wantOne(w.next(5), types.ObjectUpdateKindModify, v.Reference())
	got := map[string]string{}
	for _, p := range u.ChangeSet {
		if o, ok := p.Val.(types.OptionValue); ok {
			got[p.Name] = fmt.Sprint(p.Op, o.Value)
		} else {
			got[p.Name] = string(p.Op)
		}
	}
	want := map[string]string{
		"config.changeVersion":                 "assign",
		`config.extraConfig["guestinfo.old"]`:  "assign2",
		`config.extraConfig["guestinfo.new"]`:  "add1",
		`config.extraConfig["guestinfo.gone"]`: "remove",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	c.set(v, `a/"]b`, "1") // cannot stand in a path
	u = w.wantOne(w.next(5), types.ObjectUpdateKindModify, v.Reference())
	if _, ok := value(t, u, "config.extraConfig").(types.ArrayOfOptionValue); !ok {
		t.Errorf("got %+v", u.ChangeSet)
	}
}

func TestWatchTasks(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	w := c.watch()
	list := c.listView()
	w.filter(inView(list, "Task", "info.state", "info.error"), false)
	if set := w.next(0); set == nil || set.Version == "" {
		t.Fatal("the first answer has no version")
	}
	hold, err := c.sim.Hold(c.instance(v))
	c.must(err)
	task, err := v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ChangeVersion: "stale", ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/b", Value: "1"}}})
	c.must(err)
	<-hold.Reached()
	_, err = methods.ModifyListView(t.Context(), c.Client, &types.ModifyListView{This: list, Add: []types.ManagedObjectReference{task.Reference()}})
	c.must(err)
	if state := value(t, w.wantOne(w.next(5), types.ObjectUpdateKindEnter, task.Reference()), "info.state"); state != types.TaskInfoStateRunning {
		t.Errorf("a task that is held back is %v", state)
	}
	hold.Release()
	u := w.wantOne(w.next(5), types.ObjectUpdateKindModify, task.Reference())
	if value(t, u, "info.state") != types.TaskInfoStateError {
		t.Errorf("got %+v", u)
	}
	if e, _ := value(t, u, "info.error").(types.LocalizedMethodFault); !fault.Is(e.Fault, &types.ConcurrentAccess{}) {
		t.Errorf("got %+v", e)
	}
}

func TestVersions(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	w := c.watch()
	w.filter(inView(c.listView(v.Reference()), "VirtualMachine", "config.changeVersion"), false)
	if _, err := w.ask("1", 0); !fault.Is(err, &types.InvalidCollectorVersion{}) {
		t.Errorf("a version before there was one: %v", err)
	}
	w.next(0)
	before := w.version
	c.set(v, "a/b", "1")
	first := w.next(5)
	again, err := w.ask(before, 0) // the answer was lost
	c.must(err)
	if len(objects(again)) != 1 || again.Version != first.Version {
		t.Errorf("asked again: %+v, want %+v", again, first)
	}
	if _, err := w.ask("999", 0); !fault.Is(err, &types.InvalidCollectorVersion{}) {
		t.Errorf("a version that never was: %v", err)
	}
	all, err := w.ask("", 0) // from the start
	c.must(err)
	if w.wantOne(all, types.ObjectUpdateKindEnter, v.Reference()); all.Version == "" {
		t.Error("no version")
	}
}

func TestWaiting(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	w := c.watch()
	w.filter(inView(c.listView(c.vm("vm1").Reference()), "VirtualMachine", "name"), false)
	w.next(0)
	if set := w.next(1); set != nil {
		t.Errorf("got %+v", set)
	}
	for what, end := range map[string]func() error{
		"cancelled": func() error {
			_, err := methods.CancelWaitForUpdates(context.Background(), w.Client, &types.CancelWaitForUpdates{This: w.pc})
			return err
		},
		"superseded": func() error { _, err := w.ask(w.version, 0); return err },
	} {
		waits := make(chan error, 1)
		w.sim.ResetCalls()
		go func() { _, err := w.ask(w.version, 60); waits <- err }()
		for err := error(nil); err == nil; { // until it was waiting
			c.must(end())
			select {
			case err = <-waits:
				if !fault.Is(err, &types.RequestCanceled{}) {
					t.Errorf("%s: %v", what, err)
				}
				err = context.Canceled
			default:
			}
		}
	}
	_, err := methods.DestroyPropertyCollector(t.Context(), c.Client, &types.DestroyPropertyCollector{This: w.pc})
	c.must(err)
	if _, err := w.ask(w.version, 0); !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("a destroyed collector: %v", err)
	}
}

// TestSessionsAreApart: collectors and views belong to the session that made them.
func TestSessionsAreApart(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	w := c.watch()
	list := c.listView(c.vm("vm1").Reference())
	w.filter(inView(list, "VirtualMachine", "name"), false)
	w.next(0)
	other := &client{TB: t, sim: c.sim, Client: login(t, c.sim)}
	stranger := &watch{client: other, pc: w.pc}
	if _, err := stranger.ask(w.version, 0); !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("another session's collector: %v", err)
	}
	if _, err := methods.ModifyListView(t.Context(), other.Client, &types.ModifyListView{This: list}); !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("another session's view: %v", err)
	}
	c.must(c.sim.EndSessions())
	if _, err := w.ask(w.version, 0); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("without a session: %v", err)
	}
}

// TestReading is what govmomi's own tools do.
func TestReading(t *testing.T) {
	c := start(t, simulator.Options{VMs: 5})
	manager := view.NewManager(c.Client.Client)
	all, err := manager.CreateContainerView(t.Context(), c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	c.must(err)
	var vms []mo.VirtualMachine
	c.must(all.Retrieve(t.Context(), []string{"VirtualMachine"}, []string{"name", "summary", "config.hardware.device", "guest"}, &vms))
	if len(vms) != 5 || vms[0].Name == "" || vms[0].Summary.Config.InstanceUuid == "" || len(vms[0].Config.Hardware.Device) == 0 {
		t.Errorf("%d VMs, %+v", len(vms), vms)
	}
	var everything mo.VirtualMachine
	c.must(property.DefaultCollector(c.Client.Client).RetrieveOne(t.Context(), c.vm("vm1").Reference(), nil, &everything))
	if everything.Name != "vm1" || len(everything.Config.ExtraConfig) == 0 || everything.Parent == nil {
		t.Errorf("got %+v", everything)
	}
	var entities []mo.ManagedEntity
	c.must(all.Retrieve(t.Context(), []string{"ManagedEntity"}, []string{"name"}, &entities))
	if len(entities) != 5 {
		t.Errorf("%d entities", len(entities))
	}
	res, err := property.DefaultCollector(c.Client.Client).RetrieveProperties(t.Context(), types.RetrieveProperties{SpecSet: []types.PropertyFilterSpec{{
		ObjectSet: []types.ObjectSpec{{Obj: c.vm("vm1").Reference()}},
		PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"nothing.such", `config.extraConfig["disk.enableUUID"].value`, "config.hardware.device[200].key"}}},
	}}})
	c.must(err)
	if o := res.Returnval[0]; len(o.MissingSet) != 1 || len(o.PropSet) != 2 || o.PropSet[0].Val != "TRUE" || o.PropSet[1].Val != int32(200) {
		t.Errorf("got %+v", o)
	}

	// In pages.
	page, err := methods.RetrievePropertiesEx(t.Context(), c.Client, &types.RetrievePropertiesEx{
		This: c.ServiceContent.PropertyCollector, Options: types.RetrieveOptions{MaxObjects: 2},
		SpecSet: []types.PropertyFilterSpec{{
			ObjectSet: []types.ObjectSpec{{Obj: all.Reference(), Skip: new(true), SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ContainerView", Path: "view"}}}},
			PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name"}}},
		}},
	})
	c.must(err)
	read, token := len(page.Returnval.Objects), page.Returnval.Token
	for token != "" {
		next, err := methods.ContinueRetrievePropertiesEx(t.Context(), c.Client, &types.ContinueRetrievePropertiesEx{This: c.ServiceContent.PropertyCollector, Token: token})
		c.must(err)
		read, token = read+len(next.Returnval.Objects), next.Returnval.Token
	}
	if read != 5 {
		t.Errorf("read %d VMs in pages", read)
	}
}

// TestManyWatchers changes VMs from many sides while others watch, read, come and go.
func TestManyWatchers(t *testing.T) {
	c := start(t, simulator.Options{VMs: 8})
	const changes = 20
	var refs []types.ManagedObjectReference
	for i := range 8 {
		refs = append(refs, c.vm(fmt.Sprintf("vm%d", i+1)).Reference())
	}
	var wg sync.WaitGroup
	for i, ref := range refs {
		v := object.NewVirtualMachine(c.Client.Client, ref)
		instance := c.instance(v)
		wg.Go(func() {
			for n := range changes {
				c.set(v, "a/n", fmt.Sprint(n))
				if err := c.sim.GuestWrite(instance, "guestinfo.n", fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
				if i == 0 && n%5 == 0 {
					_ = c.sim.PowerOff(instance)
					_ = c.sim.PowerOn(instance)
				}
			}
		})
		wg.Go(func() {
			for range changes {
				c.properties(v, "config", "runtime")
			}
		})
	}
	for range 4 {
		w := c.watch()
		w.filter(inView(c.listView(refs...), "VirtualMachine", "config.extraConfig", "runtime"), false)
		wg.Go(func() {
			done := map[types.ManagedObjectReference]bool{}
			for len(done) < len(refs) {
				for _, u := range objects(w.next(5)) {
					for _, p := range u.ChangeSet {
						if options, ok := p.Val.(types.ArrayOfOptionValue); ok {
							for _, o := range options.OptionValue {
								if v := o.GetOptionValue(); v.Key == "guestinfo.n" && v.Value == fmt.Sprint(changes-1) {
									done[u.Obj] = true
								}
							}
						}
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 5 {
			instance, err := c.sim.AddVM(fmt.Sprintf("extra%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.sim.RemoveVM(instance); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// TestThousand: what 10,000 do in the benchmark.
func TestThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	begun := time.Now()
	c := start(t, simulator.Options{VMs: 1000})
	t.Logf("made in %v", time.Since(begun))
	converge(t, c, 1000, 64)
}
