package handlers

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// TestWhatTheEdgeRefuses: every refusal is a problem document, whoever refuses, and no input gives a 5xx.
func TestWhatTheEdgeRefuses(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x"}`, nil)
	for _, tc := range []struct {
		name, method, target, body string
		status                     int
		fields                     []string
		headers                    []string
	}{
		{name: "empty If-Match", method: "PUT", target: "/v1/executors/x", body: `{"name": "unconditional"}`, status: 400, fields: []string{"If-Match"}, headers: []string{"If-Match", ""}},
		{name: "empty conditions", method: "PUT", target: "/v1/executors/x", body: `{"name": "unconditional"}`, status: 400, fields: []string{"If-Match", "If-None-Match"}, headers: []string{"If-None-Match", "", "If-Match", ""}},
		{name: "PATCH with an empty If-Match", method: "PATCH", target: "/v1/executors/x", body: `{"name": "unconditional"}`, status: 400, fields: []string{"If-Match"}, headers: []string{"If-Match", "", "Content-Type", "application/merge-patch+json"}},
		{name: "DELETE with an empty If-Match", method: "DELETE", target: "/v1/executors/x", status: 400, fields: []string{"If-Match"}, headers: []string{"If-Match", ""}},
		{name: "GET with an empty If-None-Match", method: "GET", target: "/v1/executors/x", status: 400, fields: []string{"If-None-Match"}, headers: []string{"If-None-Match", ""}},
		{name: "no such path", method: "GET", target: "/v1/nothing", status: 404},
		{name: "root", method: "GET", target: "/", status: 404},
		{name: "doubled slash", method: "GET", target: "/v1//executors", status: 404},
		{name: "trailing slash", method: "GET", target: "/v1/executors/", status: 404},
		{name: "dots", method: "GET", target: "/v1/networks/../executors", status: 404},
		{name: "id with a slash", method: "GET", target: "/v1/executors/a%2Fb", status: 400, fields: []string{"id"}},
		{name: "long id", method: "GET", target: "/v1/executors/" + strings.Repeat("a", 129), status: 400, fields: []string{"id"}},
		{name: "method", method: "BREW", target: "/v1/executors", status: 405},
		{name: "method of a named one", method: "POST", target: "/v1/executors/x", status: 405},
		{name: "unknown parameter", method: "GET", target: "/v1/executors/x/keys?scop=guest", status: 400, fields: []string{"scop"}},
		{name: "repeated parameter", method: "GET", target: "/v1/executors/x/keys?scope=guest&scope=all", status: 400, fields: []string{"scope"}},
		{name: "empty parameter", method: "POST", target: "/v1/executors/x/push?dryRun", status: 400, fields: []string{"dryRun"}},
		{name: "bad parameter", method: "POST", target: "/v1/executors/x/push?dryRun=perhaps", status: 400, fields: []string{"dryRun"}},
		{name: "word that is none", method: "GET", target: "/v1/executors/x/keys?scope=secret", status: 400, fields: []string{"scope"}},
		{name: "bad query", method: "GET", target: "/v1/executors?a=%zz", status: 400, fields: []string{""}},
		{name: "not acceptable", method: "GET", target: "/v1/executors/x", status: 406, headers: []string{"Accept", "text/html"}},
		{name: "POST not acceptable", method: "POST", target: "/v1/executors", body: `{"id": "unaccepted"}`, status: 406, headers: []string{"Accept", "text/html"}},
		{name: "PUT not acceptable", method: "PUT", target: "/v1/executors/unaccepted", body: `{}`, status: 406, headers: []string{"Accept", "application/json;q=0, text/*"}},
		{name: "PATCH not acceptable", method: "PATCH", target: "/v1/executors/x", body: `{"name": "unaccepted"}`, status: 406, headers: []string{"Accept", "text/html", "Content-Type", "application/merge-patch+json"}},
		{name: "DELETE not acceptable", method: "DELETE", target: "/v1/executors/x", status: 406, headers: []string{"Accept", "text/html"}},
		{name: "content type", method: "POST", target: "/v1/executors", body: `{}`, status: 415, headers: []string{"Content-Type", "text/plain"}},
		{name: "packed body", method: "POST", target: "/v1/executors", body: `{}`, status: 415, headers: []string{"Content-Encoding", "gzip"}},
		{name: "long header", method: "GET", target: "/v1/executors", status: 431, headers: []string{"X-Long", strings.Repeat("x", DefaultHeader)}},
		{name: "broken content type", method: "POST", target: "/v1/executors", body: `{}`, status: 400, fields: []string{"Content-Type"}, headers: []string{"Content-Type", ";;"}},
		{name: "no body", method: "POST", target: "/v1/executors", status: 422, fields: []string{""}},
		{name: "large body", method: "POST", target: "/v1/executors", body: strings.Repeat(" ", DefaultBody+1), status: 413},
		{name: "large document", method: "POST", target: "/v1/executors", body: `{"name": "` + strings.Repeat("x", DefaultBody) + `"}`, status: 413},
		{name: "no JSON", method: "POST", target: "/v1/executors", body: `{"name"`, status: 400, fields: []string{"name"}},
		{name: "deep JSON", method: "POST", target: "/v1/executors", body: strings.Repeat(`{"sessions":`, 10_000), status: 400, fields: []string{"sessions.sessions.sessions"}},
		{name: "null", method: "PUT", target: "/v1/executors/x", body: `null`, status: 400, fields: []string{""}},
		{name: "duplicate field", method: "POST", target: "/v1/executors", body: `{"name": "a", "name": "b"}`, status: 400, fields: []string{"name"}},
		{name: "other case", method: "POST", target: "/v1/executors", body: `{"hostName": "a"}`, status: 400, fields: []string{"hostName"}},
		{name: "trailing data", method: "POST", target: "/v1/executors", body: `{} {}`, status: 400, fields: []string{""}},
		{name: "wrong type", method: "POST", target: "/v1/executors", body: `{"sessions": {"a": {"tty": "yes"}}}`, status: 400, fields: []string{"sessions.a.tty"}},
		{name: "null entry", method: "POST", target: "/v1/executors", body: `{"sessions": {"a": null}}`, status: 400, fields: []string{"sessions.a"}},
		{name: "bad time", method: "POST", target: "/v1/executors", body: `{"createTime": "yesterday"}`, status: 400, fields: []string{"createTime"}},
		{name: "bad base64", method: "POST", target: "/v1/executors", body: `{"key": "*"}`, status: 400, fields: []string{"key"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := *e
			e.T = t
			a := e.expect(tc.status, tc.method, tc.target, tc.body, nil, tc.headers...)
			var fields []string
			for _, f := range a.problem.Errors {
				fields = append(fields, f.Field)
			}
			if bytes.Contains(a.body, []byte("revision")) {
				t.Errorf("a revision that means nothing: %s", a.body)
			}
			if strings.Join(fields, " ") != strings.Join(tc.fields, " ") || len(fields) != len(tc.fields) {
				t.Errorf("faults of %q, want %q: %s", fields, tc.fields, a.body)
			}
		})
	}
	if list := e.expect(200, "GET", "/v1/executors", "", nil); strings.Contains(string(list.body), "unaccepted") || strings.Contains(string(list.body), "unconditional") {
		t.Errorf("a refused request left something: %s", list.body)
	}
}

func TestAllow(t *testing.T) {
	e := newEdge(t)
	for target, want := range map[string]string{
		"/v1/executors":        "GET, HEAD, OPTIONS, POST",
		"/v1/executors/x/push": "OPTIONS, POST",
		"/swagger.json":        "GET, HEAD, OPTIONS",
	} {
		if got := e.expect(405, "BREW", target, "", nil).header.Get("Allow"); got != want {
			t.Errorf("%s allows %q, want %q", target, got, want)
		}
	}
	if got := e.expect(204, "OPTIONS", "/v1/executors", "", nil).header.Get("Allow"); got != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("OPTIONS allows %q", got)
	}
	e.expect(404, "OPTIONS", "/v1/nothing", "", nil)
	e.expect(200, "HEAD", "/v1/executors", "", nil)
	e.expect(404, "HEAD", "/v1/executors/x", "", nil)
	var spec struct{ Swagger string }
	if e.expect(200, "GET", "/swagger.json", "", &spec); spec.Swagger != "2.0" {
		t.Errorf("specification: %+v", spec)
	}
}

func TestSentences(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "no": "No.", "there is nothing.": "There is nothing.", "vSphere at 127.0.0.1 is away": "vSphere at 127.0.0.1 is away.", "GET is what": "GET is what.",
	} {
		if got := sentence(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	e := newEdge(t)
	if got := e.expect(404, "GET", "/", "", nil, "X-Request-Id", "mine-1").header.Get("X-Request-Id"); got != "mine-1" {
		t.Errorf("a client's id became %q", got)
	}
	for _, id := range []string{"", "two words", "a\nb", strings.Repeat("a", 65), "é"} {
		if got := e.expect(404, "GET", "/", "", nil, "X-Request-Id", id).header.Get("X-Request-Id"); got == id || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
}

// TestInternalErrors: a client learns which request failed, the log why; neither learns values.
func TestInternalErrors(t *testing.T) {
	e := newEdge(t)
	inner := &edge{problems: problems{discardTo(e.log)}, metrics: e.metrics, trail: e.trail}
	e.handler = inner.observe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret") }))
	a := e.expect(500, "GET", "/", "", nil)
	if id := a.header.Get("X-Request-Id"); !strings.Contains(a.problem.Detail, id) || !strings.Contains(e.log.String(), id) {
		t.Errorf("%s\n%s", a.body, e.log)
	}
	if strings.Contains(string(a.body)+e.log.String(), "a secret") {
		t.Errorf("a value got out: %s\n%s", a.body, e.log)
	}
	e.handler = inner.observe(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		panic("in the middle")
	}))
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the very value, by the contract of net/http
			t.Errorf("half an answer ended with %v", v)
		}
	}()
	e.do("GET", "/", "")
}

func TestSystem(t *testing.T) {
	e := newEdge(t)
	e.expect(200, "GET", "/healthz", "", nil)
	e.expect(200, "GET", "/readyz", "", nil)
	var v struct{ Version string }
	if e.expect(200, "GET", "/v1/version", "", &v); v.Version != "test" {
		t.Errorf("version is %+v", v)
	}
}
