package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// results are how a push can end.
var results = []string{"applied", "unchanged", "failed"}

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
		drifted:  counter("drift_fields_total", "Fields found changed in a VM behind the executor's back; a push puts them back."),
		reported: counter("guest_reports_total", "Fields set by guests that the store took over."),
		retries:  counter("retries_total", "Failed pushes that were put down to be tried again."),
	}
	for _, result := range results {
		p.ended.WithLabelValues(result) // shown as 0 before the first, so that rates see it
	}
	return p
}

func (p *pushes) all() []prometheus.Collector {
	return []prometheus.Collector{p.ended, p.durations, p.set, p.deleted, p.drifted, p.reported, p.retries}
}

// Pushed counts an attempt to push, which ended with one of the results and set and deleted so many keys.
func (m *Metrics) Pushed(result string, took time.Duration, set, deleted int) {
	m.pushes.ended.WithLabelValues(result).Inc()
	m.pushes.durations.Observe(took.Seconds())
	m.pushes.set.Add(float64(set))
	m.pushes.deleted.Add(float64(deleted))
}

// Drifted counts fields that were found changed by nobody who may.
func (m *Metrics) Drifted(fields int) { m.pushes.drifted.Add(float64(fields)) }

// Reported counts fields that a guest set and the store took over.
func (m *Metrics) Reported(fields int) { m.pushes.reported.Add(float64(fields)) }

// Retrying counts a failed attempt that is to be made again.
func (m *Metrics) Retrying() { m.pushes.retries.Inc() }
