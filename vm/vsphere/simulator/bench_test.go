package simulator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// converge changes every VM once, with so many changes in flight, and waits until a watcher has
// seen all of them.
func converge(tb testing.TB, c *client, vms, inFlight int) {
	tb.Helper()
	c.Client.DefaultTransport().MaxIdleConnsPerHost, c.Client.DefaultTransport().MaxIdleConns = 2*inFlight, 2*inFlight
	ctx := context.Background()
	all, err := view.NewManager(c.Client.Client).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	c.must(err)
	refs, err := all.Find(ctx, []string{"VirtualMachine"}, nil)
	c.must(err)
	if len(refs) < vms {
		tb.Fatalf("found %d VMs, want %d", len(refs), vms)
	}
	refs = refs[:vms]

	begun := time.Now()
	w := c.watch()
	w.filter(inView(c.listView(refs...), "VirtualMachine", "config.extraConfig", "config.changeVersion", "runtime.powerState"), true)
	for read := 0; read < vms; {
		read += len(objects(w.next(30)))
	}
	tb.Logf("%d VMs read in %v", vms, time.Since(begun))

	begun = time.Now()
	run := fmt.Sprint(begun.UnixNano())
	var wg sync.WaitGroup
	work := make(chan types.ManagedObjectReference)
	for range inFlight {
		wg.Go(func() {
			for ref := range work {
				spec := types.VirtualMachineConfigSpec{}
				for k := range 5 {
					spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: fmt.Sprintf("guestinfo.vice./k%d", k), Value: run})
				}
				if _, err := methods.ReconfigVM_Task(ctx, c.Client, &types.ReconfigVM_Task{This: ref, Spec: spec}); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	go func() {
		defer close(work)
		for _, ref := range refs {
			work <- ref
		}
	}()
	seen := make(map[types.ManagedObjectReference]bool)
	for len(seen) < vms {
		set := w.next(30)
		if set == nil {
			tb.Fatalf("only %d of %d changes seen", len(seen), vms)
		}
		for _, u := range objects(set) {
			for _, p := range u.ChangeSet {
				if o, ok := p.Val.(types.OptionValue); ok && o.Value == run {
					seen[u.Obj] = true
				}
			}
		}
	}
	wg.Wait()
	took := time.Since(begun)
	tb.Logf("%d changes in %v: %.0f a second", vms, took, float64(vms)/took.Seconds())
}

// BenchmarkFleet is 10,000 VMs in one simulator: made, read through a view, and each changed once
// with 64 in flight.
func BenchmarkFleet(b *testing.B) {
	const vms = 10_000
	begun := time.Now()
	c := start(b, simulator.Options{VMs: vms})
	made := time.Since(begun)
	for b.Loop() {
		converge(b, c, vms, 64)
	}
	b.ReportMetric(made.Seconds(), "s/made")
}
