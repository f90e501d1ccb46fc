package handlers

import (
	"io"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/memory"
)

// BenchmarkAuditedPut measures what the trail costs a change: PUT of an executor with it, in a file, against the same without, one after the other.
// The engine in memory is the least favourable; on disk a change waits for that.
func BenchmarkAuditedPut(b *testing.B) {
	for name, open := range map[string]func() (store.Engine, error){
		"memory": func() (store.Engine, error) { return memory.New(store.DefaultHistory), nil },
		"bolt":   func() (store.Engine, error) { return bolt.Open(b.TempDir()) },
	} {
		b.Run(name, func(b *testing.B) {
			file, err := audit.OpenFile(filepath.Join(b.TempDir(), "audit.jsonl"), 100, 1)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			edges := []func(body string) time.Duration{
				putter(b, open, nil), putter(b, open, audit.New(audit.Options{File: file})),
			}
			var took [2]time.Duration
			for i := 0; b.Loop(); i++ {
				body := strings.Replace(seedExecutor, `"name": "web"`, `"name": "web`+strconv.Itoa(i)+`"`, 1)
				for j := range edges {
					j = (i + j) % 2 // neither is always first
					took[j] += edges[j](body)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "x/without")
		})
	}
}

// putter gives what times a PUT at an edge of its own.
func putter(b *testing.B, open func() (store.Engine, error), trail *audit.Trail) func(body string) time.Duration {
	b.Helper()
	engine, err := open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := engine.Close(); err != nil {
			b.Error(err)
		}
	})
	log := discardTo(io.Discard)
	o := store.Options{}
	if trail != nil {
		o.Committed = trail.Committed
	}
	st, err := store.New(engine, o)
	if err != nil {
		b.Fatal(err)
	}
	handler, err := New(Options{Store: st, Push: push.New(push.Options{Store: st, Logger: log}), Callers: administrators{}, Metrics: metrics.New(log), Audit: trail, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	do := func(target, body string) time.Duration {
		r := httptest.NewRequestWithContext(b.Context(), "PUT", target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		begun := time.Now()
		handler.ServeHTTP(unlimited{w}, r)
		took := time.Since(begun)
		if w.Code >= 300 {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		return took
	}
	do("/v1/networks/front", fixtures[0].body)
	return func(body string) time.Duration { return do("/v1/executors/web-1", body) }
}
