package handlers

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// oddities are requests that are not quite those of any operation.
var oddities = []seed{
	{method: "OPTIONS", target: "*"},
	{method: "OPTIONS", target: "/v1/executors/web-1"},
	{method: "HEAD", target: "/v1/executors?limit=1"},
	{method: "get", target: "/v1/executors"},
	{method: "BREW", target: "/v1/executors/web-1/push"},
	{method: "CONNECT", target: "localhost:1"},
	{method: "GET", target: "http://elsewhere/v1/executors"},
	{method: "GET", target: "/v1//executors/%2e%2e/./web-1/"},
	{method: "GET", target: "/v1/executors/a%2Fb/sessions/%00"},
	{method: "GET", target: "/v1/executors?annotation=&limit=-1&limit=99999999999&continue=%ff&x;y=%zz"},
	{method: "GET", target: "/v1/executors?li\xffmit=1"},
	{method: "GET", target: "/docs", headers: "Range: bytes=0-0"},
	{method: "GET", target: "/docs/swagger-ui.css", headers: "Range: bytes=9-1\nIf-Match: \"x\"\nAccept-Encoding: gzip;q=0, *"},
	{method: "PUT", target: "/swagger.json", body: "{}"},
	{method: "GET", target: "/v1/executors/web-1", headers: "Accept: application/json;q=0, */*;q=0.001;x=\"\\\"\nIf-None-Match: W/\"1\", \"2-2\" ,*"},
	{method: "PUT", target: "/v1/executors/web-1", headers: "Content-Type: application/json; charset=utf-16\nContent-Encoding: gzip\nIf-Match: \"18446744073709551616-1\"", body: "{}"},
	{method: "POST", target: "/v1/executors", headers: "Content-Type: ;;\nExpect: 100-continue", body: "{}"},
	{method: "POST", target: "/v1/executors", headers: "Content-Type: application/json", body: `{"sessions": {"a": null, "A": {}, "a": {"cmd": {"args": [null]}}}, "ID": 1e999, "key": "*", "name": "\ud800"} {}`},
	{method: "PATCH", target: "/v1/executors/web-1", headers: "Content-Type: application/merge-patch+json", body: `[{"sessions": {}}]`},
	{method: "GET", target: "/v1/watch?since=0&kind=network&kind=vm&executor=web-1&executor=db-1&heartbeat=1m"},
	{method: "HEAD", target: "/v1/watch", headers: "Accept: application/x-ndjson;q=0.5, application/json"},
	{method: "GET", target: "/v1/watch?since=18446744073709551615&kind=none&executor=%2F&heartbeat=-1ns", headers: "Accept: application/json"},
	{method: "GET", target: "/v1/executors/web-1?wait=1us&since=0", headers: "If-None-Match: *"},
	{method: "GET", target: "/v1/executors/web-1?wait=9999h&since=-1"},
	{method: "PATCH", target: "/v1/networks/front", headers: "Content-Type: application/merge-patch+json", body: `{"gateway": "fd00::1/64", "pools": ["10.1.1.0-10.1.0.0", ""], "name": null}`},
}

// FuzzHTTP feeds requests to the handler on a real store. Whatever they are, none gives a 5xx, every refusal is a problem document of the same
// status, and what an operation answers is as the specification says.
func FuzzHTTP(f *testing.F) {
	e := openEdge(f, memoryDir(f), nil)
	e.runReconciler(f)
	plain, varied := seeds(f)
	for _, s := range append(append(plain, varied...), oddities...) {
		f.Add(s.method, s.target, s.headers, s.body)
	}
	fresh := false
	f.Fuzz(func(t *testing.T, method, target, headers, body string) {
		r, ok := parseRequest(t.Context(), method, target, headers, body)
		if !ok {
			return // net/http refuses it itself
		}
		e.T = t
		e.log.Reset()
		e.audited.Reset()
		if !fresh {
			e.restore()
		}
		a := e.serve(r)
		if a.status >= 500 {
			t.Errorf("%d %s\n%s", a.status, a.body, e.log)
		}
		fresh = a.status >= 400 || r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	})
}

// TestSeeds: a seed that is refused would try nothing but the refusal.
func TestSeeds(t *testing.T) {
	e := openEdge(t, memoryDir(t), nil)
	e.T = t
	e.runReconciler(t)
	plain, _ := seeds(t)
	for _, s := range plain {
		r, ok := parseRequest(t.Context(), s.method, s.target, s.headers, s.body)
		if !ok {
			t.Fatalf("%s is no request", s.operation)
		}
		e.restore()
		if a := e.serve(r); a.status >= 400 {
			t.Errorf("%s: %s %s: %d %s", s.operation, s.method, s.target, a.status, a.body)
		}
	}
}

// memoryDir is a directory that is on no disk, where the system has such: a fixture is written thousands of times, and waiting for a
// disk is not what is tried here.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "config-server")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// parseRequest makes what net/http would hand to the handler.
func parseRequest(ctx context.Context, method, target, headers, body string) (*http.Request, bool) {
	head := method + " " + target + " HTTP/1.1\nHost: localhost\n" + headers + "\n\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		return nil, false
	}
	r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, int64(len(body)), nil
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	return r.WithContext(ctx), true
}

// runReconciler runs it without drivers: whatever is pushed fails, and nothing waits.
func (e *edgeTest) runReconciler(t testing.TB) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.reconciler.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// restore leaves nothing but the fixtures, so that what an input does is the same every time. Its answers are not held against the specification,
// which takes longer than all the rest.
func (e *edgeTest) restore() {
	e.Helper()
	for _, collection := range []string{"/v1/executors", "/v1/networks"} {
		var list struct{ Items []struct{ ID, Name string } }
		if err := json.Unmarshal(e.quick(200, "GET", collection, ""), &list); err != nil {
			e.Fatal(err)
		}
		for _, item := range list.Items {
			name := item.ID
			if collection == "/v1/networks" {
				name = item.Name
			}
			e.quick(204, "DELETE", collection+"/"+name, "")
		}
	}
	for _, fixture := range fixtures {
		e.quick(201, "PUT", fixture.target, fixture.body)
	}
}

func (e *edgeTest) quick(status int, method, target, body string) []byte {
	e.Helper()
	r, ok := parseRequest(e.Context(), method, target, "Content-Type: application/json", body)
	if !ok {
		e.Fatalf("%s %s is no request", method, target)
	}
	w := httptest.NewRecorder()
	if e.handler.ServeHTTP(w, r); w.Code != status {
		e.Fatalf("%s %s: %d %s, want %d", method, target, w.Code, w.Body, status)
	}
	return w.Body.Bytes()
}
