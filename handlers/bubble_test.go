package handlers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store/bolt"
)

// bubble is an HTTP server and its clients where no time passes but what they wait for. Connections are pipes, which hold nothing: what is written waits for
// its reader. The server has the limits of a real one.
type bubble struct {
	*edgeTest
	server    *http.Server
	transport *http.Transport
	address   net.Listener
}

// inBubble runs a test in one.
func inBubble(t *testing.T, test func(b *bubble), engine ...bolt.Option) {
	dir := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		streams, endStreams := context.WithCancel(context.Background())
		e := openEdge(t, dir, nil, engine...)
		e.T = t
		handler, err := New(Options{Callers: administrators{}, Store: e.store, Push: e.reconciler, Metrics: e.metrics, Audit: e.trail, Logger: discardTo(e.log), Streams: streams})
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		b := &bubble{edgeTest: e, address: l, transport: &http.Transport{DialContext: l.dial}}
		b.server = &http.Server{Handler: handler, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, ReadHeaderTimeout: time.Minute}
		b.server.RegisterOnShutdown(endStreams)
		served := make(chan error)
		go func() { served <- b.server.Serve(l) }()
		test(b)
		endStreams()
		b.transport.CloseIdleConnections()
		b.server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// pipes is a listener that clients dial in memory.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.accept <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	close(l.closed)
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// get makes a request, whose answer is the test's to read and close.
func (b *bubble) get(ctx context.Context, target string, headers ...string) *http.Response {
	b.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+target, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	return resp
}

// streamTest is an open watch.
type streamTest struct {
	*bubble
	resp  *http.Response
	lines *bufio.Reader
}

// watch opens one, whose first line must be a heartbeat at a revision.
func (b *bubble) watch(at uint64, query string) *streamTest {
	b.Helper()
	resp := b.get(b.Context(), "/v1/watch"+query) //nolint:bodyclose // it is read until the bubble ends
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.Header.Get("Cache-Control") != "no-store" {
		b.Fatalf("%s: %d %v", query, resp.StatusCode, resp.Header)
	}
	s := &streamTest{b, resp, bufio.NewReader(resp.Body)}
	s.heartbeat(at)
	return s
}

// passes waits for the heartbeat of a watch of its own, so many seconds from now. It leaves before it goes on.
func (b *bubble) passes(d time.Duration) {
	b.Helper()
	now, err := b.store.Revision(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	clock := b.watch(now, "?executor=none&heartbeat="+d.String())
	clock.heartbeat(now)
	clock.resp.Body.Close()
	synctest.Wait()
}

// next gives the next line.
func (s *streamTest) next() *models.Event {
	s.Helper()
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		s.Fatalf("the stream ended with %v", err)
	}
	s.fits("a line of the feed", eventSchema(), line)
	e := new(models.Event)
	if err := json.Unmarshal(line, e); err != nil {
		s.Fatal(err)
	}
	return e
}

func (s *streamTest) heartbeat(at uint64) {
	s.Helper()
	if e := s.next(); e.Action != "heartbeat" || e.Revision != at || e.Kind != "" || e.ID != "" || !e.Time.Equal(time.Now()) {
		s.Errorf("%+v is no heartbeat at %d", e, at)
	}
}

// expect wants the next events to be these, each as: revision kind id action.
func (s *streamTest) expect(want ...string) (last *models.Event) {
	s.Helper()
	for _, w := range want {
		last = s.next()
		if got := strings.Join([]string{itoa(last.Revision), last.Kind, last.ID, last.Action}, " "); got != w {
			s.Errorf("the feed has %s, want %s", got, w)
		}
	}
	return last
}

// ended reads to the end.
func (s *streamTest) ended() error {
	for {
		if _, err := s.lines.ReadBytes('\n'); err != nil {
			return err
		}
	}
}
