package vsphere_test

import (
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"
)

// rounds is how often the loops that are compared take turns. They are compared by the median of each round's ratio, which
// the other work of a machine disturbs least.
const rounds = 5

// BenchmarkConverge changes five keys of each of 1,000 VMs, 64 in flight, in four ways that take turns:
//
//	server  all that a server does once a container network has changed that 1,000 executors are on
//	driver  the driver alone: a look, the change, a look
//	bare    ReconfigVM_Task, completed by one shared collector that follows the VMs
//	wait    Reconfigure and task.Wait, as govmomi's own helpers do
//
// They are compared by changes a second, and by the processor's time, which is that of the client and the simulator together.
func BenchmarkConverge(b *testing.B) { compare(b, 1000, true) }

// BenchmarkNetwork is a change of a container network with 500 executors on it, against the bare loop. That it takes one reconfigure
// each is checked.
func BenchmarkNetwork(b *testing.B) { compare(b, 500, false) }

func compare(b *testing.B, vms int, all bool) {
	f := newFixture(b, vms)
	targets := f.targets(b)
	s := newServer(b, f, targets)
	loops := map[string]loop{"server": s, "bare": &bareLoop{f: f}}
	if all {
		loops["driver"], loops["wait"] = &driverLoop{f: f}, &waitLoop{f: f}
	}
	for again := 0; b.Loop(); again++ {
		took := map[string][]taken{}
		for round := again * rounds; round < (again+1)*rounds; round++ {
			for _, name := range slices.Sorted(maps.Keys(loops)) {
				loops[name].open(b, targets)
				f.sim.ResetCalls()
				begun, processor := time.Now(), processorTime()
				loops[name].run(b, targets, round)
				took[name] = append(took[name], taken{time.Since(begun), processorTime() - processor})
				if n := f.sim.Calls()["ReconfigVM_Task"]; n != len(targets) {
					b.Errorf("%s made %d reconfigures of %d VMs", name, n, len(targets))
				}
				loops[name].close(b)
			}
		}
		for name, times := range took {
			processor := func(t taken) time.Duration { return t.processor }
			passed := func(t taken) time.Duration { return t.passed }
			b.ReportMetric(1e6*median(times, passed, nil)/float64(vms), name+"-µs")
			b.ReportMetric(1e6*median(times, processor, nil)/float64(vms), name+"-cpu-µs")
			if name != "bare" { // changes a second are the other way round than times
				b.ReportMetric(median(took["bare"], passed, times), name+"/bare")
				b.ReportMetric(median(times, processor, took["bare"]), name+"/bare-cpu")
			}
		}
		if all {
			b.ReportMetric(median(took["wait"], func(t taken) time.Duration { return t.passed }, took["server"]), "server/wait")
		}
	}
	b.ReportMetric(0, "ns/op") // of no interest
}

// loop is a way to change all VMs.
type loop interface {
	open(b *testing.B, targets []*target) // not timed
	run(b *testing.B, targets []*target, round int)
	close(b *testing.B)
}

// taken is what one run of a loop took.
type taken struct{ passed, processor time.Duration }

// median is that of a measure, in seconds, or of its ratio to others, pair by pair.
func median(times []taken, of func(taken) time.Duration, others []taken) float64 {
	var all []float64
	for i, t := range times {
		x := of(t).Seconds()
		if others != nil {
			x /= of(others[i]).Seconds()
		}
		all = append(all, x)
	}
	slices.Sort(all)
	return all[len(all)/2]
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
