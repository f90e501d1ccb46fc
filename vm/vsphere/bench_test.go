package vsphere_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// BenchmarkApply is one change of five keys of VMs that hold thirty, 64 in flight: by the driver,
// with the look before and after that a reconciler takes; by a bare loop of ReconfigVM_Task which
// learns from a collector of the same kind that a change was applied; and by a loop that waits for
// each task, as govmomi's own helpers do.
func BenchmarkApply(b *testing.B) {
	f := newFixture(b, 300)
	vms := make([]*target, f.vms)
	prepare := f.newDriver()
	for n := range vms {
		v := f.vm(b)
		vms[n] = &target{object: v.object(b), applied: make(chan struct{}, 1)}
		instance, err := f.driver.Resolve(b.Context(), vms[n].object.Reference().Value)
		must(b, err)
		vms[n].instance = instance
		must(b, prepare.Apply(b.Context(), instance, change(30, "0")))
	}
	must(b, prepare.Close(b.Context())) // or it would watch the others, too
	b.Run("driver", func(b *testing.B) {
		driver := f.newDriver()
		defer func() { must(b, driver.Close(context.Background())) }()
		for _, t := range vms {
			_, err := driver.Observe(b.Context(), t.instance)
			must(b, err)
		}
		inParallel(b, vms, func(ctx context.Context, t *target) error {
			state, err := driver.Observe(ctx, t.instance)
			if err != nil {
				return err
			}
			c := change(5, t.next())
			c.Version = state.Version
			if err := driver.Apply(ctx, t.instance, c); err != nil {
				return err
			}
			_, err = driver.Observe(ctx, t.instance)
			return err
		})
	})
	b.Run("bare", func(b *testing.B) {
		client := f.client()
		client.DefaultTransport().MaxIdleConns, client.DefaultTransport().MaxIdleConnsPerHost = 128, 128
		defer watchBare(b, client.Client, vms)()
		inParallel(b, vms, func(ctx context.Context, t *target) error {
			spec := spec(change(5, t.next()))
			t.mu.Lock()
			t.want = fmt.Sprint(t.n)
			t.mu.Unlock()
			if _, err := methods.ReconfigVM_Task(ctx, client.Client, &types.ReconfigVM_Task{This: t.object.Reference(), Spec: spec}); err != nil {
				return err
			}
			<-t.applied
			return nil
		})
	})
	b.Run("wait", func(b *testing.B) {
		client := f.client()
		client.DefaultTransport().MaxIdleConns, client.DefaultTransport().MaxIdleConnsPerHost = 128, 128
		inParallel(b, vms, func(ctx context.Context, t *target) error {
			task, err := object.NewVirtualMachine(client.Client, t.object.Reference()).Reconfigure(ctx, spec(change(5, t.next())))
			if err != nil {
				return err
			}
			return task.Wait(ctx)
		})
	})
}

// target is a VM to change.
type target struct {
	object   *object.VirtualMachine
	instance string
	n        int

	mu      sync.Mutex
	want    string
	applied chan struct{}
}

func (t *target) next() string {
	t.n++
	return fmt.Sprint(t.n)
}

func change(n int, value string) (c vm.Change) {
	for key := range keys(n, "") {
		c.Set = append(c.Set, extraconfig.Pair{Key: key, Value: value})
	}
	return c
}

func spec(c vm.Change) (s types.VirtualMachineConfigSpec) {
	for _, p := range c.Set {
		s.ExtraConfig = append(s.ExtraConfig, &types.OptionValue{Key: p.Key, Value: p.Value})
	}
	return s
}

// inParallel does b.N changes, so many at once, each of another VM.
func inParallel(b *testing.B, vms []*target, do func(ctx context.Context, t *target) error) {
	b.Helper()
	free := make(chan *target, len(vms))
	for _, t := range vms {
		free <- t
	}
	b.SetParallelism(max(1, inFlight/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	before := processorTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t := <-free
			if err := do(b.Context(), t); err != nil {
				b.Error(err)
			}
			free <- t
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processorTime is what this process has used: the simulator's part and the client's. It depends
// less than the time that passes on what else the machine does.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchBare tells each target when its VM shows what is wanted; what it returns ends that.
func watchBare(b *testing.B, c *vim25.Client, vms []*target) (stop func()) {
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
