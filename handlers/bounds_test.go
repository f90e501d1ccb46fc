package handlers

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-openapi/runtime/middleware"
	"github.com/go-openapi/spec"

	"github.com/vmexecutor/config-server/auth"
)

func TestQuota(t *testing.T) {
	q := newQuota(10)
	for _, step := range []struct {
		caller string
		n      int64
		want   bool
	}{
		{"a", 3, true}, {"a", 3, false}, {"a", 2, true}, {"a", 1, false}, // half
		{"b", 5, true}, {"b", 1, false}, {"c", 1, false}, // all
	} {
		if got := q.take(step.caller, step.n); got != step.want {
			t.Errorf("%d for %s: %v", step.n, step.caller, got)
		}
	}
	q.give("a", 2)
	if !q.take("c", 2) || q.take("c", 1) {
		t.Error("what was given back is not there, or more is")
	}
	q.give("a", 3)
	q.give("b", 5)
	q.give("c", 2)
	if q.used != 0 || len(q.by) != 0 {
		t.Errorf("%d is left with %v", q.used, q.by)
	}
	if one := newQuota(1); !one.take("a", 1) {
		t.Error("of one thing nobody has half, so somebody has it")
	}
}

// sharing is the edge's part that shares, before an operation that ends when it is told to.
type sharing struct {
	*testing.T
	handler http.Handler
	at      chan string   // callers whose operation has begun
	end     chan struct{} // lets one end
	answer  string        // what it says then
	edge    *edge
	all     sync.WaitGroup
}

func newSharing(t *testing.T, b Bounds) *sharing {
	e := newEdge(t)
	api, err := newAPI(Options{Store: e.store, Push: e.reconciler, Logger: discardTo(e.log)})
	if err != nil {
		t.Fatal(err)
	}
	s := &sharing{T: t, at: make(chan string), end: make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.log)
		}
	})
	inner := &edge{problems: problems{discardTo(e.log)}, metrics: e.metrics, trail: e.trail, shares: newShares(b)}
	inner.lookup = func(r *http.Request) (*middleware.MatchedRoute, bool) { return api.Context().LookupRoute(r) }
	s.edge = inner
	shared := inner.share(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.at <- requestOf(r).caller.Name
		<-s.end
		if s.answer != "" {
			_, _ = io.WriteString(w, s.answer)
		}
	}))
	api.Middleware = func(b middleware.Builder) http.Handler { return api.Context().RoutesHandler(b) }
	routes := api.Serve(func(http.Handler) http.Handler { return shared })
	s.handler = inner.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestOf(r).caller = auth.Principal{Name: r.Header.Get("Caller"), Role: auth.Admin}
		routes.ServeHTTP(w, r)
	}))
	return s
}

// ask makes a request beside others, which must end with a status; it says when.
func (s *sharing) ask(caller, method, target string, body io.Reader, status int) (answered chan struct{}) {
	answered = make(chan struct{})
	r := httptest.NewRequestWithContext(s.Context(), method, target, body)
	r.Header.Set("Caller", caller)
	s.all.Go(func() {
		defer close(answered)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != status || (status == http.StatusTooManyRequests) != (w.Header().Get("Retry-After") != "") {
			s.Errorf("%s %s as %s: %d %v %s, want %d", method, target, caller, w.Code, w.Header(), w.Body, status)
		}
	})
	return answered
}

// TestDocumentsTakeTurns: as many are worked on as may be, others wait, and are told to come again when that takes too long.
func TestDocumentsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, Bounds{Body: 1000, Work: 1000})
		document := func() io.Reader { return strings.NewReader(strings.Repeat(" ", 600)) }
		s.ask("a", "POST", "/v1/executors", document(), 200)
		<-s.at
		s.ask("b", "POST", "/v1/executors", document(), 200)
		synctest.Wait()
		s.ask("c", "POST", "/v1/executors/x/push", nil, 200) // has nothing to wait for
		<-s.at
		s.end <- struct{}{}
		s.end <- struct{}{}
		if got := <-s.at; got != "b" {
			t.Errorf("%s is next", got)
		}
		<-s.ask("d", "POST", "/v1/executors", document(), 429) // nothing goes on but time
		s.end <- struct{}{}
		s.all.Wait()
	})
}

// TestWorkIsShared: of one caller half is worked on at a time, and the rest waits behind its own.
func TestWorkIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, Bounds{Body: 1000, Work: 2000})
		document := func() io.Reader { return strings.NewReader(strings.Repeat(" ", 900)) }
		for range 20 {
			s.ask("a", "POST", "/v1/executors", document(), 200)
		}
		if got := <-s.at; got != "a" {
			t.Errorf("%s is first", got)
		}
		synctest.Wait()
		s.ask("b", "POST", "/v1/executors", document(), 200)
		if got := <-s.at; got != "b" {
			t.Errorf("%s is next", got)
		}
		s.end <- struct{}{}
		for range 19 {
			s.end <- struct{}{}
			<-s.at
		}
		s.end <- struct{}{}
		s.all.Wait()
		if left := s.edge.shares.work.by; len(left) != 0 {
			t.Errorf("%d callers have a part", len(left))
		}
	})
}

// TestBodiesAreShared: who sends slowly and much is refused more, and others are not.
func TestBodiesAreShared(t *testing.T) {
	s := newSharing(t, Bounds{Body: 1000, Bodies: 2000})
	slow, more := io.Pipe()
	s.ask("a", "POST", "/v1/executors", io.LimitReader(slow, 900), 200) // of an unknown length: the longest
	if _, err := more.Write([]byte(" ")); err != nil {
		t.Fatal(err)
	}
	<-s.ask("a", "POST", "/v1/executors", strings.NewReader(strings.Repeat(" ", 600)), 429)
	s.ask("b", "POST", "/v1/executors", strings.NewReader("{}"), 200)
	<-s.at
	s.end <- struct{}{}
	_ = more.Close() // a pipe's always succeeds
	<-s.at
	s.end <- struct{}{}
	s.all.Wait()
}

// TestListsTakeTurns: whole ones and pages, and of one caller half at a time.
func TestListsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, Bounds{Lists: 2})
		s.ask("a", "GET", "/v1/executors", nil, 200)
		<-s.at
		s.ask("a", "GET", "/v1/executors?limit=10", nil, 200)
		synctest.Wait()
		s.ask("b", "GET", "/v1/networks?limit=10", nil, 200) // not behind it
		if got := <-s.at; got != "b" {
			t.Errorf("%s is next", got)
		}
		s.end <- struct{}{}
		s.end <- struct{}{}
		<-s.at
		<-s.ask("a", "GET", "/v1/networks", nil, 429) // nothing goes on but time
		s.end <- struct{}{}
		s.all.Wait()
	})
}

// TestStreamsAreShared: a watch is one as long as it lasts, and so is a backup and a request that waits.
func TestStreamsAreShared(t *testing.T) {
	streams := []string{"/v1/watch", "/v1/backup", "/v1/executors/x?wait=1s&since=1"}
	for _, target := range streams {
		s := newSharing(t, Bounds{Streams: 2})
		s.ask("a", "GET", target, nil, 200)
		<-s.at
		for _, other := range streams {
			<-s.ask("a", "GET", other, nil, 429)
		}
		s.ask("a", "GET", "/v1/executors/x", nil, 200)
		<-s.at
		s.ask("b", "GET", target, nil, 200)
		<-s.at
		<-s.ask("c", "GET", target, nil, 429)
		close(s.end)
		s.all.Wait()
	}
}

// TestWhatIsShared: which operations take which part of what is shared, of all that there are.
func TestWhatIsShared(t *testing.T) {
	e := newEdge(t)
	api, err := newAPI(Options{Store: e.store, Push: e.reconciler, Logger: discardTo(e.log)})
	if err != nil {
		t.Fatal(err)
	}
	api.Middleware = func(b middleware.Builder) http.Handler { return api.Context().RoutesHandler(b) }
	api.Serve(nil)
	got, routes := map[need][]string{}, 0
	for path, item := range specification().Paths.Paths {
		for method, operation := range map[string]*spec.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			if operation == nil {
				continue
			}
			for _, query := range []string{"", "?wait=1s"} {
				target := specification().BasePath + strings.NewReplacer("{", "", "}", "").Replace(strings.TrimPrefix(path, "/")) + query
				_, r, ok := api.Context().RouteInfo(httptest.NewRequestWithContext(t.Context(), method, target, nil))
				if !ok {
					t.Fatalf("%s has no route", operation.ID)
				}
				routes++
				got[needOf(r)] = append(got[needOf(r)], operation.ID+query)
			}
		}
	}
	delete(got, needsNothing)
	for _, operations := range got {
		slices.Sort(operations)
	}
	want := map[need][]string{
		needsStream: {"getBackup", "getBackup?wait=1s", "getExecutor?wait=1s", "watch", "watch?wait=1s"},
		needsList:   {"listExecutors", "listExecutors?wait=1s", "listNetworks", "listNetworks?wait=1s"},
	}
	if !maps.EqualFunc(got, want, slices.Equal) || routes < 80 {
		t.Errorf("of %d requests, %v need a part of what is shared, want %v", routes, got, want)
	}
}

// slowReader is a client that reads nothing of its answer before it is told to.
type slowReader struct {
	*httptest.ResponseRecorder
	writing chan struct{} // the answer is being written
	read    chan struct{}
}

func (s *slowReader) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.read
	return s.ResponseRecorder.Write(b)
}

// askSlowly makes a request as ask does, for a client that reads nothing before read is closed. It is back when there is something to read.
func (s *sharing) askSlowly(caller, method, target string, body io.Reader, read chan struct{}) {
	w := &slowReader{httptest.NewRecorder(), make(chan struct{}), read}
	r := httptest.NewRequestWithContext(s.Context(), method, target, body)
	r.Header.Set("Caller", caller)
	s.all.Go(func() {
		s.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.Len() != len(s.answer) {
			s.Errorf("%s %s as %s: %d and %d bytes", method, target, caller, w.Code, w.Body.Len())
		}
	})
	<-s.at
	s.end <- struct{}{}
	<-w.writing
}

// TestSlowReadersHoldNothingUp: the turn of a document or a list is over when its answer is made, however slowly it is read.
func TestSlowReadersHoldNothingUp(t *testing.T) {
	s := newSharing(t, Bounds{Body: 1000, Work: 1000, Lists: 1})
	s.answer = "the answer"
	read := make(chan struct{})
	for range 3 {
		s.askSlowly("a", "POST", "/v1/executors", strings.NewReader(strings.Repeat(" ", 1000)), read)
		s.askSlowly("a", "GET", "/v1/executors?limit=3", nil, read)
	}
	close(read)
	s.all.Wait()
}

// TestAnswersAreShared: what is long and not read is counted; small answers are not, and a change that was made is always told.
func TestAnswersAreShared(t *testing.T) {
	s := newSharing(t, Bounds{Answers: 8 * smallAnswer})
	s.answer = strings.Repeat("x", 3*smallAnswer)
	read := make(chan struct{})
	s.askSlowly("a", "GET", "/v1/executors/x", nil, read)
	answered := s.ask("a", "GET", "/v1/executors/x/keys", nil, 429) // is made, and is too long
	<-s.at
	s.end <- struct{}{}
	<-answered
	s.askSlowly("a", "PATCH", "/v1/executors/x", strings.NewReader("{}"), read)
	for method, target := range map[string]string{"PATCH": "/v1/executors/x", "GET": "/v1/executors?limit=1"} { // are not begun with
		<-s.ask("a", method, target, strings.NewReader("{}"), 429)
	}
	s.answer = strings.Repeat("x", smallAnswer)
	for _, target := range []string{"/v1/executors/x", "/v1/version"} {
		answered = s.ask("a", "GET", target, nil, 200)
		<-s.at
		s.end <- struct{}{}
		<-answered
	}
	s.answer = strings.Repeat("x", 3*smallAnswer)
	close(read)
	s.all.Wait()
	if shares := s.edge.shares.answers; shares.used != 0 {
		t.Errorf("%d bytes are still counted", shares.used)
	}
	s.answer = strings.Repeat("x", 100*smallAnswer) // more than there is: one such is written at a time, and changes are made beside it
	read = make(chan struct{})
	s.askSlowly("a", "GET", "/v1/executors", nil, read)
	for method, status := range map[string]int{"GET": 429, "PATCH": 200} {
		answered = s.ask("a", method, "/v1/executors/x", strings.NewReader("{}"), status)
		<-s.at
		s.end <- struct{}{}
		<-answered
	}
	close(read)
	s.all.Wait()
}
