package simulator_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// client is a simulator as somebody sees it who has logged in.
type client struct {
	testing.TB
	sim *simulator.Simulator
	*govmomi.Client
}

func start(t testing.TB, o simulator.Options) *client {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	sim, err := simulator.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &client{TB: t, sim: sim, Client: login(t, sim)}
}

func login(t testing.TB, sim *simulator.Simulator) *govmomi.Client {
	t.Helper()
	u := sim.URL()
	u.User = url.UserPassword(simulator.Username, simulator.Password)
	c, err := govmomi.NewClient(context.Background(), u, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *client) vm(name string) *object.VirtualMachine {
	c.Helper()
	found, err := object.NewSearchIndex(c.Client.Client).FindByInventoryPath(context.Background(), "DC0/vm/"+name)
	c.must(err)
	if found == nil {
		c.Fatalf("there is no %s", name)
	}
	return object.NewVirtualMachine(c.Client.Client, found.Reference())
}

func (c *client) properties(v *object.VirtualMachine, paths ...string) (m mo.VirtualMachine) {
	c.Helper()
	c.must(property.DefaultCollector(c.Client.Client).RetrieveOne(context.Background(), v.Reference(), paths, &m))
	return m
}

func (c *client) instance(v *object.VirtualMachine) string {
	return c.properties(v, "config.instanceUuid").Config.InstanceUuid
}

func (c *client) version(v *object.VirtualMachine) string {
	return c.properties(v, "config.changeVersion").Config.ChangeVersion
}

func (c *client) keys(v *object.VirtualMachine) map[string]string {
	c.Helper()
	m := c.properties(v, "config.extraConfig")
	keys := make(map[string]string)
	if m.Config != nil {
		for _, o := range m.Config.ExtraConfig {
			keys[o.GetOptionValue().Key] = fmt.Sprint(o.GetOptionValue().Value)
		}
	}
	return keys
}

// reconfigure changes keys given in pairs, with a version, and gives the task's error.
func (c *client) reconfigure(v *object.VirtualMachine, version string, pairs ...string) error {
	spec := types.VirtualMachineConfigSpec{ChangeVersion: version}
	for i := 0; i < len(pairs); i += 2 {
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: pairs[i], Value: pairs[i+1]})
	}
	task, err := v.Reconfigure(context.Background(), spec)
	if err != nil {
		return err
	}
	return task.Wait(context.Background())
}

func (c *client) set(v *object.VirtualMachine, pairs ...string) {
	c.Helper()
	c.must(c.reconfigure(v, "", pairs...))
}

func (c *client) wait(task *object.Task, err error) {
	c.Helper()
	c.must(err)
	c.must(task.Wait(context.Background()))
}

func (c *client) want(v *object.VirtualMachine, key, value string) {
	c.Helper()
	if got, ok := c.keys(v)[key]; !ok || got != value {
		c.Errorf("%s is %q (there: %v), want %q", key, got, ok, value)
	}
}

func (c *client) wantAbsent(v *object.VirtualMachine, key string) {
	c.Helper()
	if got, ok := c.keys(v)[key]; ok {
		c.Errorf("%s is %q, want it absent", key, got)
	}
}

// watch is a collector of its own.
type watch struct {
	*client
	pc      types.ManagedObjectReference
	version string
}

func (c *client) watch() *watch {
	c.Helper()
	res, err := methods.CreatePropertyCollector(context.Background(), c.Client, &types.CreatePropertyCollector{This: c.ServiceContent.PropertyCollector})
	c.must(err)
	return &watch{client: c, pc: res.Returnval}
}

func (w *watch) filter(spec types.PropertyFilterSpec, partial bool) types.ManagedObjectReference {
	w.Helper()
	res, err := methods.CreateFilter(context.Background(), w.Client, &types.CreateFilter{This: w.pc, Spec: spec, PartialUpdates: partial})
	w.must(err)
	return res.Returnval
}

// next waits for the next answer, nil when there is none within so many seconds.
func (w *watch) next(seconds int32) *types.UpdateSet {
	w.Helper()
	set, err := w.ask(w.version, seconds)
	w.must(err)
	if set != nil {
		w.version = set.Version
	}
	return set
}

func (w *watch) ask(version string, seconds int32) (*types.UpdateSet, error) {
	res, err := methods.WaitForUpdatesEx(context.Background(), w.Client, &types.WaitForUpdatesEx{
		This: w.pc, Version: version, Options: &types.WaitOptions{MaxWaitSeconds: &seconds},
	})
	if err != nil {
		return nil, err
	}
	return res.Returnval, nil
}

func (c *client) listView(refs ...types.ManagedObjectReference) types.ManagedObjectReference {
	c.Helper()
	res, err := methods.CreateListView(context.Background(), c.Client, &types.CreateListView{This: *c.ServiceContent.ViewManager, Obj: refs})
	c.must(err)
	return res.Returnval
}

// inView selects what a list view lists.
func inView(view types.ManagedObjectReference, kind string, paths ...string) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: view, Skip: new(true), SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{Type: "ListView", Path: "view"},
		}}},
		PropSet: []types.PropertySpec{{Type: kind, PathSet: paths}},
	}
}

// objects are the updates of all filters in an answer.
func objects(set *types.UpdateSet) (all []types.ObjectUpdate) {
	if set == nil {
		return nil
	}
	for _, f := range set.FilterSet {
		all = append(all, f.ObjectSet...)
	}
	return all
}

func loginAs(t testing.TB, s *soap.Client, user, password string) error {
	t.Helper()
	c, err := vim25.NewClient(context.Background(), s)
	if err != nil {
		return err
	}
	_, err = methods.Login(context.Background(), c, &types.Login{This: *c.ServiceContent.SessionManager, UserName: user, Password: password})
	return err
}
