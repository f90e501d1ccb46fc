package metrics

import "github.com/prometheus/client_golang/prometheus"

// guests are the metrics of what guests ask for over their channel.
type guests struct {
	sets     *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

func newGuests() guests {
	g := guests{
		sets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "guest", Name: "sets_total",
			Help: "Sets of keys by guests, by result: accepted, refused (the guest may not set that), failed (it is to try again), limited (it came too soon).",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "guest", Name: "refusals_total",
			Help: "What guests sent and was refused, by reason; garbage is what was no message.",
		}, []string{"reason"}),
	}
	return g
}

// ExpectGuests has the results and the reasons shown as 0 before the first, so that rates see it.
func (m *Metrics) ExpectGuests(results, reasons []string) {
	for _, result := range results {
		m.guests.sets.WithLabelValues(result)
	}
	for _, reason := range reasons {
		m.guests.refusals.WithLabelValues(reason)
	}
}

// GuestSet counts a set of keys by a guest, which ended with one of the results.
func (m *Metrics) GuestSet(result string) { m.guests.sets.WithLabelValues(result).Inc() }

// GuestRefused counts what a guest sent and was refused, for one of the reasons.
func (m *Metrics) GuestRefused(reason string) { m.guests.refusals.WithLabelValues(reason).Inc() }
