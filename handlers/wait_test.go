package handlers

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// late is an answer that was waited for.
type late struct {
	status int
	etag   string
	took   time.Duration
}

// wait makes a request that is not answered at once.
func (b *bubble) wait(target string, headers ...string) <-chan late {
	b.Helper()
	begun, answered := time.Now(), make(chan late, 1)
	go func() {
		resp := b.get(b.Context(), target, headers...)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		answered <- late{resp.StatusCode, resp.Header.Get("ETag"), time.Since(begun)}
	}()
	synctest.Wait()
	select {
	case a := <-answered:
		b.Errorf("%s was answered at once: %+v", target, a)
	default:
	}
	return answered
}

// TestWait: an answer comes as soon as there is news, and says that there is none when the time is over.
func TestWait(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.expect(201, "PUT", "/v1/networks/net", `{}`, nil)
		b.expect(201, "PUT", "/v1/executors/a", `{"networks": {"eth0": {"networkRef": "net"}}}`, nil)
		b.expect(201, "PUT", "/v1/executors/b", `{}`, nil)
		is := func(w <-chan late, want late) {
			b.Helper()
			if got := <-w; got != want {
				b.Errorf("answered %+v, want %+v", got, want)
			}
		}
		b.patch("/v1/executors/b", `{"hostname": "b"}`, nil) // 4
		is(b.wait("/v1/executors/a?wait=90s&since=4"), late{304, `"2-2"`, 90 * time.Second})
		is(b.wait("/v1/executors/a?wait=5m", "If-None-Match", `"2-2"`), late{304, `"2-2"`, 5 * time.Minute})
		b.expect(200, "GET", "/v1/executors/a?since=1", "", nil)
		b.expect(304, "GET", "/v1/executors/a?since=2", "", nil)
		b.expect(304, "GET", "/v1/executors/a?since=4&wait=0s", "", nil)
		b.expect(200, "GET", "/v1/executors/a?wait=5m&since=1", "", nil)
		b.expect(200, "GET", "/v1/executors/a?wait=5m&since=0", "", nil, "If-None-Match", `"1-1"`)
		b.expect(200, "GET", "/v1/executors/a?wait=5m", "", nil, "If-None-Match", `"2-1"`)

		both := b.wait("/v1/executors/a?wait=5m&since=4", "If-None-Match", `"5-5"`) // 5 is not news, because of the tag
		since, tag := b.wait("/v1/executors/a?wait=1m&since=4"), b.wait("/v1/executors/a?wait=1m", "If-None-Match", `"2-2"`)
		any := b.wait("/v1/executors/a?wait=5m", "If-None-Match", "*")
		b.passes(time.Second)
		b.patch("/v1/executors/b", `{"hostname": null}`, nil)
		b.note("a")
		synctest.Wait()
		b.passes(time.Second)
		b.patch("/v1/executors/a", `{"hostname": "a"}`, nil)
		is(since, late{200, `"7-7"`, 2 * time.Second})
		is(tag, late{200, `"7-7"`, 2 * time.Second})
		is(both, late{200, `"7-7"`, 2 * time.Second})

		report := b.wait("/v1/executors/a?wait=5m", "If-None-Match", `"7-7"`)
		b.patch("/v1/executors/a", `{"networks": {"eth0": {"assigned": "10.1.0.2/16"}}}`, nil)
		is(report, late{200, `"7-8"`, 0})
		network := b.wait("/v1/executors/a?wait=5m&since=8")
		b.patch("/v1/networks/net", `{"nameservers": ["10.1.0.53"]}`, nil)
		is(network, late{200, `"9-9"`, 0})

		gone := b.wait("/v1/executors/a?wait=5m&since=9")
		b.expect(204, "DELETE", "/v1/executors/a", "", nil)
		is(gone, late{404, "", 0})
		is(any, late{404, "", 2 * time.Second})
		b.expect(404, "GET", "/v1/executors/a?wait=5m&since=9", "", nil)
	})
}

// TestAWaiterThatLeaves is not waited for.
func TestAWaiterThatLeaves(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.expect(201, "PUT", "/v1/executors/a", `{}`, nil)
		ctx, leave := context.WithTimeout(b.Context(), time.Minute)
		defer leave()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/v1/executors/a?wait=5m&since=1", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		if resp, err := b.transport.RoundTrip(r); err == nil {
			b.Errorf("answered %d", resp.StatusCode)
			resp.Body.Close()
		}
		if err := b.server.Shutdown(b.Context()); err != nil || time.Since(begun) > 61*time.Second {
			b.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

func TestWhatAWaitRefuses(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "PUT", "/v1/executors/a", `{}`, nil)
	for query, field := range map[string]string{
		"wait=30s": "wait", "wait=5m1s&since=1": "wait", "wait=-1s&since=1": "wait", "wait=30&since=1": "wait", "wait=&since=1": "wait", "wait=soon&since=1": "wait",
		"wait=1s&wait=1s&since=1": "wait", "wait=0000000000000030s&since=1": "wait",
		"since=2": "since", "since=2&wait=1s": "since", "since=-1": "since", "since=18446744073709551616": "since", "since=x": "since",
	} {
		e.refused(400, "GET", "/v1/executors/a?"+query, "", field)
	}
	e.expect(404, "GET", "/v1/executors/none?wait=1s&since=1", "", nil)
	e.expect(200, "HEAD", "/v1/executors/a?wait=1s&since=0", "", nil)
	e.expect(304, "HEAD", "/v1/executors/a?wait=1s&since=1", "", nil)
}
