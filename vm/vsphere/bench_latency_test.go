package vsphere_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// samples is how many latencies of each kind are taken, at least.
const samples = 200

// BenchmarkLatency is the time from a client's change being durable, which is when it is answered, to somebody else seeing it in
// the VM (applied), and from a guest's write to the store's feed telling of it (reported): with nothing else to do, and while 1,000
// other VMs are repaired after a restart. Beside it stands a bare ReconfigVM_Task of one more VM, from the call to the same somebody
// seeing it, at the same time.
func BenchmarkLatency(b *testing.B) {
	f := newFixture(b, 1003)
	targets := f.targets(b)
	fleet, p := targets[3:], &probes{client: targets[0], guest: targets[1], bare: targets[2]}
	p.server = newServer(b, f, fleet)
	for _, t := range []*target{p.client, p.guest} {
		_, err := p.store.CreateExecutor(b.Context(), container(t.name, ""), &store.Binding{Driver: "vsphere", Ref: t.instance})
		must(b, err)
	}
	client := f.parallelClient()
	stop := watchBare(b, client.Client, targets[:3])
	p.reconfigure = func(c vm.Change) error { return p.bare.reconfigure(b.Context(), client.Client, c) }
	p.open(b, targets[:len(targets)-1])
	p.follow(b)
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			all := map[string]*latencies{}
			for name, probe := range p.kinds() {
				all[name] = &latencies{}
				for range samples {
					all[name].take(b, probe, nil)
				}
			}
			report(b, all)
		}
	})
	b.Run("repair", func(b *testing.B) {
		for round := 0; b.Loop(); {
			all := map[string]*latencies{"applied": {}, "reported": {}, "bare": {}}
			for ; slices.ContainsFunc([]string{"applied", "reported", "bare"}, func(name string) bool { return len(all[name].took) < samples }); round++ {
				p.repair(b, fleet, round%250, all)
			}
			report(b, all)
		}
	})
	p.close(b)
	stop()
	must(b, client.Logout(context.Background()))
}

// probes are three VMs on which latencies are taken, beside a server with a fleet.
type probes struct {
	*server
	client, guest, bare *target
	reconfigure         func(vm.Change) error
	reports             chan struct{} // one for each report of the guest that the feed tells of
	n                   int
	mu                  sync.Mutex
}

func (p *probes) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	return p.n
}

// follow waits for the feed to tell of the guest's reports.
func (p *probes) follow(b *testing.B) {
	revision, err := p.store.Revision(b.Context())
	must(b, err)
	p.reports = make(chan struct{})
	ctx := b.Context()
	go func() {
		for e, err := range p.store.Watch(ctx, revision) {
			if err == nil && e.Action == store.ActionReport && e.ID == p.guest.name {
				p.reports <- struct{}{}
			}
		}
	}()
}

// kinds are what is measured. Each gives when the time begins.
func (p *probes) kinds() map[string]func(ctx context.Context) (time.Time, error) {
	return map[string]func(ctx context.Context) (time.Time, error){
		"applied": func(ctx context.Context) (begun time.Time, err error) {
			value := fmt.Sprintf("host%d", p.next())
			p.client.expect(value)
			_, err = p.store.UpdateExecutor(ctx, p.client.name, func(c *executor.ExecutorConfig) error {
				c.Hostname = value
				return nil
			})
			if begun = time.Now(); err == nil {
				<-p.client.applied
			}
			return begun, err
		},
		"reported": func(context.Context) (begun time.Time, err error) {
			begun = time.Now()
			if err = p.f.sim.GuestWrite(p.guest.instance, "guestinfo.vice..sessions|main.status", fmt.Sprint(p.next())); err == nil {
				<-p.reports
			}
			return begun, err
		},
		"bare": func(context.Context) (begun time.Time, err error) {
			begun = time.Now()
			return begun, p.reconfigure(vm.Change{Set: []extraconfig.Pair{{Key: "guestinfo.vice./hostname", Value: fmt.Sprintf("bare%d", p.next())}}})
		},
	}
}

// repair restarts the reconciler with a fleet that is not as it should be, and takes latencies until it is.
func (p *probes) repair(b *testing.B, fleet []*target, round int, all map[string]*latencies) {
	p.stop()
	p.network(b, 'r', round)
	repaired := p.await(len(fleet))
	p.start()
	for _, t := range []*target{p.client, p.guest} { // from here on, what happens to them is heard of
		_, err := p.reconciler.Push(b.Context(), t.name)
		must(b, err)
	}
	var taking sync.WaitGroup
	for name, probe := range p.kinds() {
		taking.Go(func() {
			for {
				select {
				case <-repaired:
					return
				default:
					all[name].take(b, probe, repaired)
				}
			}
		})
	}
	taking.Wait()
}

// latencies are those of one kind.
type latencies struct{ took []time.Duration }

// take takes one more, unless it ends after over was closed.
func (l *latencies) take(b *testing.B, probe func(context.Context) (time.Time, error), over <-chan struct{}) {
	begun, err := probe(b.Context())
	took := time.Since(begun)
	if err != nil {
		b.Error(err)
	}
	select {
	case <-over:
	default:
		l.took = append(l.took, took)
	}
}

func (l *latencies) at(percent int) float64 {
	slices.Sort(l.took)
	return float64(l.took[len(l.took)*percent/100].Microseconds())
}

func report(b *testing.B, all map[string]*latencies) {
	b.Helper()
	for name, l := range all {
		for _, percent := range []int{50, 99} {
			b.ReportMetric(l.at(percent)/1000, fmt.Sprintf("%s-p%d-ms", name, percent))
			if name != "bare" {
				b.ReportMetric(l.at(percent)/all["bare"].at(percent), fmt.Sprintf("%s/bare-p%d", name, percent))
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of no interest
}
