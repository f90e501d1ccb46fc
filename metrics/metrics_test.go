package metrics

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

// busy makes metrics of which none is missing.
func busy(t *testing.T, log *bytes.Buffer) *Metrics {
	t.Helper()
	m := New(slog.New(slog.NewTextHandler(log, nil)))
	m.Answered("/v1/executors/{id}", "GET", 200, 20*time.Millisecond)
	m.ExpectGuests([]string{"accepted"}, []string{"hidden"})
	m.GuestSet("accepted")
	m.GuestRefused("hidden")
	m.Watch(Sources{
		Executors: func(context.Context) (map[string]int, error) { return map[string]int{"synced": 3, "failed": 1}, nil },
		Queue:     func() (int, time.Duration) { return 2, time.Minute },
		Revision:  func(context.Context) (uint64, error) { return 9, nil },
		Seen:      func() uint64 { return 7 },
		Commits:   func() (uint64, uint64) { return 8, 2 },
		Guests:    func() (int, int) { return 5, 4 },
		Calls: map[string]func() map[string]uint64{
			"vsphere": func() map[string]uint64 { return map[string]uint64{"ReconfigVM_Task": 5} },
		},
	})
	return m
}

// TestNames: dashboards and alerts name metrics and labels, so none may change unnoticed. After a change that is meant:
// go test ./metrics -update, and a look at docs/operations.md and docs/alerts.yml.
func TestNames(t *testing.T) {
	m := busy(t, new(bytes.Buffer))
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	others := map[string]bool{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			others[f.GetName()] = true
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&text, "%s{%s} %s\n\t%s\n", f.GetName(), strings.Join(labels, ","), strings.ToLower(f.GetType().String()), f.GetHelp())
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("the metrics are\n%s\nand were\n%s", text.String(), want)
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total", "process_open_fds", "promhttp_metric_handler_errors_total"} {
		if !others[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestLint: names, units and help texts are as Prometheus advises.
func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(busy(t, new(bytes.Buffer)).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestLabels: what clients invent becomes no label.
func TestLabels(t *testing.T) {
	m := New(slog.New(slog.DiscardHandler))
	m.Answered("", "BREW", 405, 0)
	m.Answered("", "GET", 404, 0)
	m.Answered("/v1/executors", "GET", 200, time.Second)
	m.Answered("/v1/executors", "GET", 200, time.Second)
	shown := scrape(t, m)
	for _, line := range []string{
		`config_server_http_requests_total{code="405",method="other",route="other"} 1`,
		`config_server_http_requests_total{code="404",method="GET",route="other"} 1`,
		`config_server_http_requests_total{code="200",method="GET",route="/v1/executors"} 2`,
		`config_server_http_request_duration_seconds_sum{method="GET",route="/v1/executors"} 2`,
	} {
		if !slices.Contains(shown, line) {
			t.Errorf("no %s in\n%s", line, strings.Join(shown, "\n"))
		}
	}
	if slices.ContainsFunc(shown, func(line string) bool { return strings.Contains(line, "BREW") }) {
		t.Error("a method that a client invented is a label")
	}
}

// TestPushes: results that did not come yet are there as 0, and what was done adds up.
func TestPushes(t *testing.T) {
	m := New(slog.New(slog.DiscardHandler))
	expect := func(want ...string) {
		t.Helper()
		shown := scrape(t, m)
		for _, line := range want {
			if !slices.Contains(shown, "config_server_"+line) {
				t.Errorf("no %s in\n%s", line, strings.Join(shown, "\n"))
			}
		}
	}
	expect(`pushes_total{result="applied"} 0`, `pushes_total{result="unchanged"} 0`, `pushes_total{result="failed"} 0`)
	m.Pushed("applied", 20*time.Millisecond, 30, 2)
	m.Pushed("applied", 40*time.Second, 1, 0)
	m.Pushed("failed", time.Second, 0, 0)
	m.Retrying()
	m.Drifted(3)
	m.Reported(4)
	expect(`pushes_total{result="applied"} 2`, `pushes_total{result="failed"} 1`, "push_duration_seconds_count 3", `push_duration_seconds_bucket{le="0.025"} 1`,
		"push_keys_set_total 31", "push_keys_deleted_total 2", "push_retries_total 1", "push_drift_fields_total 3", "push_guest_reports_total 4")
}

// TestSources: what is, is asked for when somebody looks; one source that fails takes nothing else away.
func TestSources(t *testing.T) {
	var log bytes.Buffer
	m := New(slog.New(slog.NewTextHandler(&log, nil)))
	executors := errors.New("the store is closed")
	depth, oldest := 0, time.Duration(0)
	m.Watch(Sources{
		Executors: func(context.Context) (map[string]int, error) { return map[string]int{"synced": 3}, executors },
		Queue:     func() (int, time.Duration) { return depth, oldest },
		Revision:  func(context.Context) (uint64, error) { return 9, nil },
		Seen:      func() uint64 { return 7 },
	})
	shown := scrape(t, m)
	for _, line := range []string{
		"config_server_push_queue_depth 0", "config_server_push_queue_oldest_age_seconds 0",
		"config_server_store_revision 9", "config_server_push_feed_revision 7", "config_server_push_feed_lag_revisions 2",
	} {
		if !slices.Contains(shown, line) {
			t.Errorf("no %s in\n%s", line, strings.Join(shown, "\n"))
		}
	}
	if has(shown, "config_server_executors") || !strings.Contains(log.String(), "the store is closed") {
		t.Errorf("a source that failed: %q, log: %s", shown, &log)
	}

	executors, depth, oldest = nil, 4, time.Hour
	shown = scrape(t, m)
	for _, line := range []string{"config_server_push_queue_depth 4", "config_server_push_queue_oldest_age_seconds 3600", `config_server_executors{state="synced"} 3`} {
		if !slices.Contains(shown, line) {
			t.Errorf("no %s in\n%s", line, strings.Join(shown, "\n"))
		}
	}
}

func has(lines []string, prefix string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return strings.Split(w.Body.String(), "\n")
}
