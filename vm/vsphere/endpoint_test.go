package vsphere_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"
)

// endpoint stands between a driver and a simulator: it counts calls, and loses answers.
type endpoint struct {
	URL *url.URL

	mu     sync.Mutex
	counts map[string]int
	since  time.Time      // when counting began
	lose   map[string]int // answers still to be lost, by method
	before func(string)   // is called before a call is passed on
	odds   func(method string, n int) mishap
}

// mishap is what happens to a call.
type mishap int

const (
	none    mishap = iota
	unheard        // it is not passed on
	lost           // its answer is not
	outside        // its session is over
)

// methodName is what stands first in a SOAP body.
var methodName = regexp.MustCompile(`Body[^>]*>\s*<(?:\w+:)?(\w+)`)

func newEndpoint(t testing.TB, target *url.URL) *endpoint {
	t.Helper()
	e := &endpoint{counts: make(map[string]int), lose: make(map[string]int), since: time.Now()}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	proxy.Transport = &http.Transport{MaxIdleConns: 200, MaxIdleConnsPerHost: 200}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		method := ""
		if m := methodName.FindSubmatch(body); m != nil {
			method = string(m[1])
		}
		what, before := e.count(method)
		if before != nil {
			before(method)
		}
		switch what {
		case unheard:
			panic(http.ErrAbortHandler)
		case outside:
			r.Header.Del("Cookie")
		case lost:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	u := *target
	u.Host = server.Listener.Addr().String()
	e.URL = &u
	return e
}

func (e *endpoint) count(method string) (what mishap, before func(string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[method]++
	switch {
	case e.lose[method] > 0:
		e.lose[method]--
		what = lost
	case e.odds != nil:
		what = e.odds(method, e.counts[method])
	}
	return what, e.before
}

// take gives the counts since it was called last, waiting for updates excluded.
func (e *endpoint) take() (total int, byMethod map[string]int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	byMethod = maps.Clone(e.counts)
	clear(e.counts)
	e.since = time.Now()
	delete(byMethod, "WaitForUpdatesEx")
	for _, n := range byMethod {
		total += n
	}
	return total, byMethod
}

// loseNext makes the endpoint pass the next call of a method on, but not its answer.
func (e *endpoint) loseNext(method string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lose[method]++
}

// onCall has a function called before each call is passed on.
func (e *endpoint) onCall(before func(method string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.before = before
}
