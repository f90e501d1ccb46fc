package metrics

import "github.com/prometheus/client_golang/prometheus"

func newAuditErrors() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: "audit", Name: "errors_total",
		Help: "Lines of the audit trail that its file did not take, and that are in the log instead.",
	})
}

// AuditFailed counts a line of the audit trail that its file did not take.
func (m *Metrics) AuditFailed() { m.auditErrors.Inc() }
