package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/models"
)

// running is the server in this process, with everything in it.
type running struct {
	testing.TB
	api string
}

func run(tb testing.TB) *running {
	tb.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{
			Host: "127.0.0.1", DataDir: dir, SimulatorListen: "127.0.0.1:0", SimulatorVMs: 1, LogLevel: "error",
			Ready: func(a app.Addresses) { ready <- a },
		})
	}()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	select {
	case a := <-ready:
		return &running{tb, a.API}
	case err := <-ended:
		ended <- nil
		tb.Fatal(err)
		return nil
	}
}

func (r *running) do(method, path, body string, v any) {
	r.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.api+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		r.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, read, err)
	}
	if v != nil {
		if err := json.Unmarshal(read, v); err != nil {
			r.Fatal(err)
		}
	}
}

// bound makes an executor of ordinary size, and gives the socket of its guest.
func (r *running) bound(id string) string {
	r.Helper()
	r.do("POST", "/v1/executors", fmt.Sprintf(`{"id": %q, "hostname": "h", "annotations": {"team": "shop"},
		"sessions": {"main": {"cmd": {"path": "/bin/httpd", "args": ["httpd", "-f"], "env": ["A=1", "B=2"]}}, "side": {}},
		"networks": {"eth0": {"static": true, "ip": "10.1.0.2/16", "network": {"gateway": "10.1.0.1/16"}}},
		"mounts": {"data": {"source": "label:///data", "path": "/srv"}}, "vm": {"driver": "qemu", "ref": %q}}`, id, id), nil)
	var binding struct{ Socket string }
	r.do("GET", "/v1/executors/"+id+"/vm", "", &binding)
	r.do("POST", "/v1/executors/"+id+"/push", "", nil)
	return binding.Socket
}

func (r *running) guest(path string) *guest.Client {
	r.Helper()
	open, err := guest.Address("unix:" + path)
	if err != nil {
		r.Fatal(err)
	}
	g, err := guest.Open(context.Background(), open, guest.ClientOptions{Boot: "boot-1"})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = g.Close() })
	return g
}

// percentile gives a part of what was measured, in milliseconds.
func percentile(took []time.Duration, part float64) float64 {
	slices.Sort(took)
	return float64(took[int(part*float64(len(took)-1))]) / float64(time.Millisecond)
}

// pace keeps guests below what they may send, so that it is the way that is measured and not the limit.
const pace = 60 * time.Millisecond

// BenchmarkGuestIsTold measures the time from the answer of a PATCH to the guest's callback, beside that of the PATCH itself.
func BenchmarkGuestIsTold(b *testing.B) {
	r := run(b)
	told(b, r, r.bound("e"))
}

// BenchmarkGuestIsToldBesideHostile is the same while one guest floods, one sends garbage and one does not read.
func BenchmarkGuestIsToldBesideHostile(b *testing.B) {
	r := run(b)
	hello := `{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1, "agent": "raw", "boot": "boot-1"}}` + "\n"
	for id, text := range map[string]string{
		"flood":   `{"jsonrpc": "2.0", "id": 2, "method": "set", "params": {"keys": [{"key": "guestinfo.vice..sessions|main.started", "value": "x"}]}}` + "\n",
		"garbage": strings.Repeat("garbage\x00\xff{", 5000),
		"stall":   `{"jsonrpc": "2.0", "id": 2, "method": "snapshot"}` + "\n",
	} {
		conn, err := net.Dial("unix", r.bound(id))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		go func() {
			for line, err := hello, error(nil); err == nil; line = text {
				_, err = fmt.Fprint(conn, line)
			}
		}()
		if id != "stall" {
			go io.Copy(io.Discard, conn) //nolint:errcheck // it ends with the connection
		}
	}
	told(b, r, r.bound("e"))
}

func told(b *testing.B, r *running, socket string) {
	g := r.guest(socket)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changes := make(chan time.Time, 16)
	go func() {
		for c, err := range g.Watch(ctx) {
			if err != nil {
				return
			}
			if slices.Contains(c.Keys, "guestinfo.vice./hostname") || c.All {
				changes <- time.Now()
			}
		}
	}()
	<-changes // that it watches
	var patch, after []time.Duration
	for n := range b.N {
		begun := time.Now()
		r.do("PATCH", "/v1/executors/e", fmt.Sprintf(`{"hostname": "h%d"}`, n), nil)
		answered := time.Now()
		patch, after = append(patch, answered.Sub(begun)), append(after, max(0, (<-changes).Sub(answered)))
	}
	b.ReportMetric(percentile(after, .5), "p50-ms")
	b.ReportMetric(percentile(after, .99), "p99-ms")
	b.ReportMetric(percentile(patch, .5), "patch-p50-ms")
	b.ReportMetric(percentile(after, .5)/percentile(patch, .5), "p50/patch")
}

// BenchmarkGuestReports measures the time from a guest's set to its answer, and to a reader of the feed over HTTP that hears of it, beside that of a PATCH of
// the same field.
func BenchmarkGuestReports(b *testing.B) {
	r := run(b)
	g := r.guest(r.bound("e"))
	heard := r.reports(b)
	var set, feed, patch []time.Duration
	for n := range b.N {
		begun := time.Now()
		if _, err := g.Set(context.Background(), guest.Pair{Key: "guestinfo.vice..sessions|main.status", Value: fmt.Sprint(2*n + 1)}); err != nil {
			b.Fatal(err)
		}
		set = append(set, time.Since(begun))
		feed = append(feed, (<-heard).Sub(begun))
		begun = time.Now()
		r.do("PATCH", "/v1/executors/e", fmt.Sprintf(`{"sessions": {"side": {"exitStatus": %d}}}`, n+1), nil)
		patch = append(patch, time.Since(begun))
		<-time.After(pace)
	}
	b.ReportMetric(percentile(set, .5), "p50-ms")
	b.ReportMetric(percentile(set, .99), "p99-ms")
	b.ReportMetric(percentile(feed, .5), "feed-p50-ms")
	b.ReportMetric(percentile(feed, .99), "feed-p99-ms")
	b.ReportMetric(percentile(patch, .5), "patch-p50-ms")
	b.ReportMetric(percentile(set, .5)/percentile(patch, .5), "p50/patch")
}

// reports gives the times at which a reader of the feed hears of what guests report.
func (r *running) reports(b *testing.B) <-chan time.Time {
	api, err := apiclient.New(r.api)
	if err != nil {
		b.Fatal(err)
	}
	begun, heard := make(chan struct{}), make(chan time.Time, 16)
	begin := sync.OnceFunc(func() { close(begun) })
	b.Cleanup(api.Close)
	go func() {
		for e, err := range api.Watch(b.Context(), apiclient.WatchOptions{Heartbeats: true}) {
			switch {
			case err != nil:
				return
			case e.Action == models.EventActionHeartbeat:
				begin()
			case e.Action == models.EventActionReport:
				heard <- time.Now()
			}
		}
	}()
	<-begun
	return heard
}

// BenchmarkGuestMemory measures what a guest that is connected, and has subscribed, takes of the server's memory.
func BenchmarkGuestMemory(b *testing.B) {
	const guests = 1000
	for b.Loop() {
		r := run(b)
		sockets := make([]string, guests)
		for i := range sockets {
			sockets[i] = r.bound(fmt.Sprint("e", i))
		}
		before := memory()
		conns := make([]net.Conn, guests)
		for i, path := range sockets {
			conn, err := net.Dial("unix", path)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			_, err = fmt.Fprint(conn, `{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1, "agent": "raw", "boot": "boot-1"}}`+"\n"+
				`{"jsonrpc": "2.0", "id": 2, "method": "subscribe"}`+"\n"+`{"jsonrpc": "2.0", "id": 3, "method": "ping"}`+"\n")
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = conn
		}
		for _, conn := range conns {
			var read strings.Builder
			for buf := make([]byte, 4096); !strings.Contains(read.String(), `"id":3`); {
				n, err := conn.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				read.Write(buf[:n])
			}
		}
		b.ReportMetric(float64(memory()-before)/guests, "B/guest")
	}
}

// memory is what the process uses, after all garbage is gone.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
