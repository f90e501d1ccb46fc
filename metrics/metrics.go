// Package metrics counts what the server does, and shows it to Prometheus. What happens is told to it as it happens
// (a request was answered, a push ended); what simply is (how many executors are synced, how long the queue is) it asks
// for when somebody looks, see Sources.
//
// Every label has few values, all known beforehand: no executor, VM, network or path of a request is ever one. Package app
// puts the sources in, package handlers serves what Handler gives. It imports nothing of this module.
package metrics

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace begins the name of every metric that is the server's own.
const namespace = "config_server"

// Metrics are the figures of one server, in a registry of their own. All methods may be called at the same time.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	log      *slog.Logger

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	pushes    pushes
	guests    guests
	watches   watches

	auditErrors prometheus.Counter
}

// New makes metrics that count from zero. What cannot be collected when somebody looks is logged, and missing from the
// answer, which has all the rest.
func New(log *slog.Logger) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		log:      log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "http", Name: "requests_total",
			Help: "Requests answered, by the pattern of the route (other: no operation's), the method and the status code.",
		}, []string{"route", "method", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "http", Name: "request_duration_seconds",
			Help:    "Time from the first look at a request to the end of its answer, by the pattern of the route and the method.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "method"}),
		pushes:  newPushes(),
		guests:  newGuests(),
		watches: newWatches(),

		auditErrors: newAuditErrors(),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.requests, m.durations)
	m.registry.MustRegister(m.pushes.all()...)
	m.registry.MustRegister(m.guests.sets, m.guests.refusals, m.auditErrors)
	m.registry.MustRegister(m.watches.all()...)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{log},
	})
	return m
}

// Handler answers with all metrics, in the text format unless the request prefers another.
func (m *Metrics) Handler() http.Handler { return m.handler }

// methods are those that the label has: all that a client may invent is "other".
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// other stands for what no operation answers, and for methods that no operation has.
const other = "other"

// Answered counts a request. The route is a pattern of the specification, never a path that a client sent; it is empty
// when the request met none.
func (m *Metrics) Answered(route, method string, status int, took time.Duration) {
	if route == "" {
		route = other
	}
	if !slices.Contains(methods, method) {
		method = other
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route, method).Observe(took.Seconds())
}

// errorLog logs what promhttp complains about.
type errorLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	for _, x := range v {
		if err, ok := x.(error); ok {
			l.log.Error("metrics are not complete", "error", err)
		}
	}
}
