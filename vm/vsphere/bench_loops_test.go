package vsphere_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vsphere"
)

// target is a VM to change.
type target struct {
	object   *object.VirtualMachine
	name     string
	instance string

	mu      sync.Mutex
	want    string // the value that somebody waits for
	applied chan struct{}
}

// targets are all VMs that the fixture still has.
func (f *fixture) targets(b *testing.B) (all []*target) {
	b.Helper()
	for f.used < f.vms {
		v := f.vm(b)
		t := &target{object: v.object(b), name: v.name, applied: make(chan struct{}, 1)}
		instance, err := f.driver.Resolve(b.Context(), "/DC0/vm/"+v.name)
		must(b, err)
		t.instance = instance
		all = append(all, t)
	}
	return all
}

// each does something with every VM, so many at once.
func each(b *testing.B, targets []*target, do func(t *target) error) {
	b.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(targets); n = int(next.Add(1)) - 1 {
				if err := do(targets[n]); err != nil {
					b.Errorf("%s: %v", targets[n].name, err)
				}
			}
		})
	}
	workers.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// change is that of a container network's five nameservers, as a server makes it, with other values for each round and loop.
func change(loop byte, round int) (c vm.Change) {
	for n := range nameservers {
		value := base64.StdEncoding.EncodeToString([]byte{15: byte(n), 14: byte(round), 13: loop, 0: 0xfd})
		c.Set = append(c.Set, extraconfig.Pair{Key: fmt.Sprintf("guestinfo.vice./networks|eth0/network/dns|%d", n), Value: value})
	}
	return c
}

func spec(c vm.Change) (s types.VirtualMachineConfigSpec) {
	for _, p := range c.Set {
		s.ExtraConfig = append(s.ExtraConfig, &types.OptionValue{Key: p.Key, Value: p.Value})
	}
	return s
}

// driverLoop has the driver look, change and look.
type driverLoop struct {
	f      *fixture
	driver *vsphere.Driver
}

func (l *driverLoop) open(b *testing.B, targets []*target) {
	l.driver = l.f.newDriver()
	each(b, targets, func(t *target) error {
		_, err := l.driver.Observe(b.Context(), t.instance)
		return err
	})
}

func (l *driverLoop) run(b *testing.B, targets []*target, round int) {
	each(b, targets, func(t *target) error {
		state, err := l.driver.Observe(b.Context(), t.instance)
		if err != nil {
			return err
		}
		c := change('d', round)
		c.Version = state.Version
		if err := l.driver.Apply(b.Context(), t.instance, c); err != nil {
			return err
		}
		_, err = l.driver.Observe(b.Context(), t.instance)
		return err
	})
}

func (l *driverLoop) close(b *testing.B) { must(b, l.driver.Close(context.Background())) }

// bareLoop makes the calls that there is no way round, and nothing else.
type bareLoop struct {
	f      *fixture
	client *govmomi.Client
	stop   func()
}

func (l *bareLoop) open(b *testing.B, targets []*target) {
	l.client = l.f.parallelClient()
	l.stop = watchBare(b, l.client.Client, targets)
}

func (l *bareLoop) run(b *testing.B, targets []*target, round int) {
	each(b, targets, func(t *target) error { return t.reconfigure(b.Context(), l.client.Client, change('b', round)) })
}

func (l *bareLoop) close(b *testing.B) {
	l.stop()
	must(b, l.client.Logout(context.Background()))
}

// waitLoop does as govmomi's own helpers do.
type waitLoop struct {
	f      *fixture
	client *govmomi.Client
}

func (l *waitLoop) open(*testing.B, []*target) { l.client = l.f.parallelClient() }

func (l *waitLoop) run(b *testing.B, targets []*target, round int) {
	each(b, targets, func(t *target) error {
		task, err := object.NewVirtualMachine(l.client.Client, t.object.Reference()).Reconfigure(b.Context(), spec(change('w', round)))
		if err != nil {
			return err
		}
		return task.Wait(b.Context())
	})
}

func (l *waitLoop) close(b *testing.B) { must(b, l.client.Logout(context.Background())) }

// parallelClient keeps as many connections as there are calls in flight.
func (f *fixture) parallelClient() *govmomi.Client {
	f.tb.Helper()
	c := f.client()
	c.DefaultTransport().MaxIdleConns, c.DefaultTransport().MaxIdleConnsPerHost = 128, 128
	return c
}

// reconfigure changes the VM and waits until it shows the change to whom watchBare set up.
func (t *target) reconfigure(ctx context.Context, c *vim25.Client, change vm.Change) error {
	t.expect(change.Set[len(change.Set)-1].Value)
	if _, err := methods.ReconfigVM_Task(ctx, c, &types.ReconfigVM_Task{This: t.object.Reference(), Spec: spec(change)}); err != nil {
		return err
	}
	<-t.applied
	return nil
}

func (t *target) expect(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want = value
}

// watchBare tells each target when its VM shows what is wanted; what it returns ends that.
func watchBare(b testing.TB, c *vim25.Client, vms []*target) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	byRef := make(map[types.ManagedObjectReference]*target)
	var refs []types.ManagedObjectReference
	for _, t := range vms {
		byRef[t.object.Reference()] = t
		refs = append(refs, t.object.Reference())
	}
	collector, err := methods.CreatePropertyCollector(ctx, c, &types.CreatePropertyCollector{This: c.ServiceContent.PropertyCollector})
	must(b, err)
	list, err := methods.CreateListView(ctx, c, &types.CreateListView{This: *c.ServiceContent.ViewManager, Obj: refs})
	must(b, err)
	_, err = methods.CreateFilter(ctx, c, &types.CreateFilter{This: collector.Returnval, PartialUpdates: true, Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: list.Returnval, Skip: new(true), SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ListView", Path: "view"}}}},
		PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"config.extraConfig", "config.changeVersion", "runtime.powerState"}}},
	}})
	must(b, err)
	ended := make(chan struct{})
	first := make(chan struct{})
	go func() {
		defer close(ended)
		for version := ""; ctx.Err() == nil; {
			res, err := methods.WaitForUpdatesEx(ctx, c, &types.WaitForUpdatesEx{This: collector.Returnval, Version: version, Options: new(types.WaitOptions)})
			if err != nil || res.Returnval == nil {
				continue
			}
			version = res.Returnval.Version
			if res.Returnval.Truncated == nil || !*res.Returnval.Truncated {
				select {
				case <-first:
				default:
					close(first)
				}
			}
			for _, filter := range res.Returnval.FilterSet {
				for _, u := range filter.ObjectSet {
					byRef[u.Obj].take(u)
				}
			}
		}
	}()
	<-first
	return func() {
		cancel()
		<-ended
	}
}

func (t *target) take(u types.ObjectUpdate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range u.ChangeSet {
		o, ok := c.Val.(types.OptionValue)
		if ok && t.want != "" && o.Value == t.want && strings.HasPrefix(c.Name, "config.extraConfig[") {
			t.want = ""
			t.applied <- struct{}{}
		}
	}
}
