package apiclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/models"
)

// script is a server where no time passes but what is waited for: each request is answered by the next of its answers.
type script struct {
	*testing.T
	asked   []string // the queries
	answers []func(w http.ResponseWriter, r *http.Request)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.RawQuery)
	if len(s.answers) == 0 {
		s.Errorf("%s was not expected", r.URL)
		panic(http.ErrAbortHandler)
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	next(w, r)
}

// play gives a client of the script to test, in a bubble.
func play(t *testing.T, test func(s *script, c *Client), answers ...func(http.ResponseWriter, *http.Request)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{T: t, answers: answers}
		c, err := New("http://server")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: s, ReadHeaderTimeout: time.Hour}
		accept := make(pipes)
		c.transport.Proxy = nil
		c.transport.DialContext = accept.dial
		served := make(chan error)
		go func() { served <- server.Serve(accept) }()
		test(s, c)
		c.Close()
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		synctest.Wait() // for a request that the client gave up, which nothing else orders before this
		if len(s.answers) > 0 {
			t.Errorf("%d answers were not asked for", len(s.answers))
		}
	})
}

// pipes is a listener that is dialled in memory.
type pipes chan net.Conn

func (l pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l <- theirs
	return ours, nil
}

func (l pipes) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipes) Close() error {
	close(l)
	return nil
}

func (l pipes) Addr() net.Addr { return &net.UnixAddr{Name: "server"} }

// lines is an answer of these, and what then does: nothing ends it well.
func lines(then func(r *http.Request), texts ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", linesType)
		for _, text := range texts {
			_, _ = fmt.Fprint(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		if then != nil {
			then(r)
		}
	}
}

func event(revision int) string {
	return fmt.Sprintf(`{"revision": %d, "action": "update", "kind": "executor", "id": "web"}`+"\n", revision)
}

func beat(revision int) string {
	return fmt.Sprintf(`{"revision": %d, "action": "heartbeat"}`+"\n", revision)
}

func cut(*http.Request) { panic(http.ErrAbortHandler) }

func silent(r *http.Request) { <-r.Context().Done() }

func status(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, code, problemType, body) }
}

// TestWatchGoesOn from where it was: after a proper end, a cut, half a line, refusals that are for now, and silence.
func TestWatchGoesOn(t *testing.T) {
	var why []string
	play(t, func(s *script, c *Client) {
		begun := time.Now()
		var got []string
		ended := false
		for e, err := range c.Watch(s.Context(), WatchOptions{
			Kinds: []string{models.EventKindExecutor, models.EventKindVM}, Executors: []string{"web"}, Heartbeats: true, Retrying: func(err error) { why = append(why, err.Error()) },
		}) {
			if ended {
				s.Fatal("something comes after the end")
			}
			if ended = err != nil; ended {
				gone, ok := errors.AsType[*CompactedError](err)
				if !ok || gone.Revision != 99 {
					s.Errorf("the end is %v", err)
				}
				continue
			}
			got = append(got, fmt.Sprint(e.Revision, e.Action[:1]))
		}
		if want := "5h 6u 7u 8u 9h 10u 10h 10h 11u"; strings.Join(got, " ") != want {
			s.Errorf("got %q, want %q", got, want)
		}
		if took := time.Since(begun); took < 2*silence*15*time.Second || took > 3*silence*15*time.Second {
			s.Errorf("it took %s", took)
		}
		for i, since := range []string{"", "since=6", "since=7", "since=7", "since=7", "since=8", "since=10", "since=10", "since=11"} {
			for _, part := range []string{since, "kind=executor&kind=vm", "executor=web", "heartbeat=15s"} {
				if !strings.Contains(s.asked[i], part) || since == "" && strings.Contains(s.asked[i], "since") {
					s.Errorf("request %d was %s, want %s", i, s.asked[i], part)
				}
			}
		}
		if len(why) != 8 || !slices.Contains(why, errSilent.Error()) {
			s.Errorf("retries: %q", why)
		}
	},
		lines(nil, beat(5), event(6)),
		lines(cut, event(7), `{"revision": 8, "act`),
		status(503, `{"title": "Service Unavailable", "status": 503}`),
		func(w http.ResponseWriter, _ *http.Request) { answer(w, 502, "text/html", "<h1>no</h1>") },
		lines(cut, event(8)),
		lines(silent, beat(9), event(10), beat(10)),
		lines(silent, beat(10)),
		lines(nil, event(11)),
		status(410, `{"title": "Gone", "status": 410, "revision": 99}`),
	)
}

// TestWatchBeginsOrFails: what is wrong at the first attempt is told, and not tried again.
func TestWatchBeginsOrFails(t *testing.T) {
	first := func(s *script, c *Client, ctx context.Context, o WatchOptions) (errs []error) {
		for e, err := range c.Watch(ctx, o) {
			if e != nil {
				s.Errorf("got %+v", e)
			}
			errs = append(errs, err)
		}
		if len(errs) != 1 {
			s.Fatalf("got %v", errs)
		}
		return errs
	}
	play(t, func(s *script, c *Client) {
		if err := first(s, c, s.Context(), WatchOptions{Since: new(uint64(7))})[0]; !IsStatus(err, 400) || Problem(err).Detail != "no" {
			s.Errorf("a refusal is %v", err)
		}
	}, status(400, `{"title": "Bad Request", "status": 400, "detail": "no"}`))
	play(t, func(s *script, c *Client) {
		if err := first(s, c, s.Context(), WatchOptions{})[0]; !IsStatus(err, 503) {
			s.Errorf("a server that is not ready: %v", err)
		}
	}, status(503, `{"title": "Service Unavailable", "status": 503}`))
	play(t, func(s *script, c *Client) {
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		if err := first(s, c, ctx, WatchOptions{Heartbeat: 5 * time.Minute})[0]; !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("a context that ends: %v", err)
		}
	}, lines(silent, beat(1)))
	unreachable, err := New("unix:///nowhere/at/all.sock")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range unreachable.Watch(t.Context(), WatchOptions{}) {
		if err == nil || !strings.Contains(err.Error(), "/nowhere/at/all.sock") {
			t.Errorf("no server: %v", err)
		}
	}
}

// TestASlowConsumer is not silence of the server; and one that leaves ends the request.
func TestASlowConsumer(t *testing.T) {
	left := make(chan struct{})
	play(t, func(s *script, c *Client) {
		n := 0
		for _, err := range c.Watch(s.Context(), WatchOptions{Since: new(uint64(1))}) {
			if err != nil {
				s.Fatal(err)
			}
			<-time.After(time.Hour) // the bubble's
			if n++; n == 3 {
				break
			}
		}
		<-left
	}, lines(func(r *http.Request) { <-r.Context().Done(); close(left) }, beat(1), event(2), event(3), event(4)))
}

func TestWaitExecutor(t *testing.T) {
	doc := func(revision int, hostname string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1-1"`)
			answer(w, 200, "application/json", fmt.Sprintf(`{"id": "web", "hostname": %q, "revision": %d}`, hostname, revision))
		}
	}
	is := func(hostname string) func(*models.Executor) bool {
		return func(e *models.Executor) bool { return e.Hostname == hostname }
	}
	same := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }
	play(t, func(s *script, c *Client) {
		if e, err := c.WaitExecutor(s.Context(), "web", is("c")); err != nil || e.Hostname != "c" {
			s.Errorf("%+v %v", e, err)
		}
		if want := []string{"", "since=3&wait=50s", "since=3&wait=50s", "since=4&wait=50s", "since=4&wait=50s", "since=4&wait=50s"}; !slices.Equal(s.asked, want) {
			s.Errorf("asked %q, want %q", s.asked, want)
		}
	}, doc(3, "a"), same, doc(4, "b"), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, status(503, `{"title": "x", "status": 503}`), doc(5, "c"))
	play(t, func(s *script, c *Client) {
		if _, err := c.WaitExecutor(s.Context(), "web", is("c")); !IsStatus(err, 404) {
			s.Errorf("one that is deleted: %v", err)
		}
	}, doc(3, "a"), status(404, `{"title": "Not Found", "status": 404}`))
	play(t, func(s *script, c *Client) {
		if _, err := c.WaitExecutor(s.Context(), "web", is("c")); !IsStatus(err, 503) {
			s.Errorf("a server that is not ready: %v", err)
		}
	}, status(503, `{"title": "x", "status": 503}`))
	play(t, func(s *script, c *Client) {
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		if _, err := c.WaitExecutor(ctx, "web", is("c")); !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("a context that ends: %v", err)
		}
	}, doc(3, "a"), lines(silent))
}
