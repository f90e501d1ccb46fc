package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Why a watch was cut off by the server.
const (
	CutStalled = "stalled" // its client did not read
	CutBehind  = "behind"  // its client read too slowly, and fell behind the history
	CutRevoked = "revoked" // its caller is not known any more, or is another
)

// watches are the metrics of the feed's streams.
type watches struct {
	open prometheus.Gauge
	cut  *prometheus.CounterVec
}

func newWatches() watches {
	w := watches{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "watches", Help: "Streams of the feed that are open.",
		}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "watches_cut_total",
			Help: "Streams of the feed that were cut off, by reason: stalled (the client did not read), behind (it fell behind the history), revoked (its caller is not known any more).",
		}, []string{"reason"}),
	}
	for _, reason := range []string{CutStalled, CutBehind, CutRevoked} {
		w.cut.WithLabelValues(reason) // shown as 0 before the first, so that rates see it
	}
	return w
}

func (w *watches) all() []prometheus.Collector { return []prometheus.Collector{w.open, w.cut} }

// WatchOpened counts a stream, until closed is called.
func (m *Metrics) WatchOpened() (closed func()) {
	m.watches.open.Inc()
	return m.watches.open.Dec
}

// WatchCut counts a stream that was cut off for one of the reasons.
func (m *Metrics) WatchCut(reason string) { m.watches.cut.WithLabelValues(reason).Inc() }
