package metrics

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are asked when somebody looks at the metrics. One that is nil has no metric; one that fails is missing from the
// answer. They are called from several goroutines, and should be quick.
type Sources struct {
	// Executors counts the executors by the state of their push.
	Executors func(context.Context) (map[string]int, error)
	// Queue tells how many pushes wait for a worker, and how long the first of them has.
	Queue func() (depth int, oldest time.Duration)
	// Revision is that of the store's last commit, Seen the last one that the reconciler knows of.
	Revision func(context.Context) (uint64, error)
	Seen     func() uint64
	// Commits counts the store's commits on disk, and the transactions of its file that they shared.
	Commits func() (commits, transactions uint64)
	// Calls counts, for each driver, the calls of the hypervisor by their method since the server started.
	Calls map[string]func() map[string]uint64
	// Guests counts the VMs that are connected to their socket, and those of them whose guest has said hello since.
	Guests func() (connected, greeted int)
}

// collectLimit bounds how long the sources may take together.
const collectLimit = 5 * time.Second

// Watch adds sources. It is called once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(&watcher{Sources: s, log: m.log}) }

// watcher reads the sources for Prometheus.
type watcher struct {
	Sources
	log *slog.Logger
}

var _ prometheus.Collector = (*watcher)(nil)

// The metrics that are read when somebody looks.
var (
	executorsDesc = desc("", "executors", "Executors, by the state of their push.", "state")
	depthDesc     = desc("push", "queue_depth", "Executors and VMs that wait for a worker.")
	ageDesc       = desc("push", "queue_oldest_age_seconds", "How long the first in the queue has been waiting; 0 when nothing waits.")
	revisionDesc  = desc("store", "revision", "Revision of the last commit.")
	commitsDesc   = desc("store", "commits_total", "Commits that became durable since the server started.")
	sharedDesc    = desc("store", "transactions_total", "Transactions of the store's file since the server started, each of which syncs it twice: commits that come together share one.")
	lagDesc       = desc("push", "feed_lag_revisions", "Commits that the reconciler has not heard of yet.")
	seenDesc      = desc("push", "feed_revision", "Revision of the last commit that the reconciler has heard of.")
	guestsDesc    = desc("", "guests", "VMs on the guest channel, by how far they are: connected (the VM's monitor is), greeted (its guest has said hello since).", "stage")
	callsDesc     = desc("hypervisor", "calls_total", "Calls of the hypervisor, by driver and method; waiting for news is one, too.", "driver", "method")
)

func desc(subsystem, name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (w *watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{executorsDesc, depthDesc, ageDesc, revisionDesc, commitsDesc, sharedDesc, lagDesc, seenDesc, guestsDesc, callsDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectLimit)
	defer cancel()
	if w.Queue != nil {
		depth, oldest := w.Queue()
		gauge(ch, depthDesc, float64(depth))
		gauge(ch, ageDesc, oldest.Seconds())
	}
	w.feed(ctx, ch)
	if w.Commits != nil {
		commits, transactions := w.Commits()
		counter(ch, commitsDesc, commits)
		counter(ch, sharedDesc, transactions)
	}
	if w.Guests != nil {
		connected, greeted := w.Guests()
		gauge(ch, guestsDesc, float64(connected), "connected")
		gauge(ch, guestsDesc, float64(greeted), "greeted")
	}
	for driver, calls := range w.Calls {
		for method, n := range calls() {
			counter(ch, callsDesc, n, driver, method)
		}
	}
	if w.Executors != nil { // at the end, for it may take all the time there is
		w.executors(ctx, ch)
	}
}

func (w *watcher) executors(ctx context.Context, ch chan<- prometheus.Metric) {
	counts, err := w.Executors(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(executorsDesc, err)
		return
	}
	for state, n := range counts {
		gauge(ch, executorsDesc, float64(n), state)
	}
}

func (w *watcher) feed(ctx context.Context, ch chan<- prometheus.Metric) {
	var seen uint64
	if w.Seen != nil {
		seen = w.Seen() // first: what was seen is then never ahead of what is there
		gauge(ch, seenDesc, float64(seen))
	}
	if w.Revision == nil {
		return
	}
	revision, err := w.Revision(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(revisionDesc, err)
		return
	}
	gauge(ch, revisionDesc, float64(revision))
	if w.Seen != nil {
		gauge(ch, lagDesc, float64(revision)-float64(seen))
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, value uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}
