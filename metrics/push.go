package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// How a push ended.
const (
	resultApplied   = "applied"   // the VM was changed, and seen to hold what it should
	resultUnchanged = "unchanged" // the VM held that already
	resultFailed    = "failed"    // it is tried again
)

// pushes are the metrics of the reconciler.
type pushes struct {
	ended     *prometheus.CounterVec
	durations prometheus.Histogram
	set       prometheus.Counter
	deleted   prometheus.Counter
	drifted   prometheus.Counter
	reported  prometheus.Counter
	retries   prometheus.Counter
}

func newPushes() pushes {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: "push", Name: name, Help: help})
	}
	p := pushes{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "pushes_total",
			Help: "Pushes ended, by result: applied (the VM was changed, and seen to hold what it should), unchanged (it held that already), failed.",
		}, []string{"result"}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "push", Name: "duration_seconds",
			Help:    "Time that a worker spent on a push, whatever its result; not the time that it waited for a worker.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		set:      counter("keys_set_total", "Keys set in VMs."),
		deleted:  counter("keys_deleted_total", "Keys deleted from VMs."),
		drifted:  counter("drift_keys_total", "Keys found changed in a VM behind the executor's back, and put back."),
		reported: counter("guest_reports_total", "Fields set by guests that the store took over."),
		retries:  counter("retries_total", "Pushes begun because an earlier one failed."),
	}
	for _, result := range []string{resultApplied, resultUnchanged, resultFailed} {
		p.ended.WithLabelValues(result) // shown as 0 before the first, so that rates see it
	}
	return p
}

func (p *pushes) all() []prometheus.Collector {
	return []prometheus.Collector{p.ended, p.durations, p.set, p.deleted, p.drifted, p.reported, p.retries}
}
