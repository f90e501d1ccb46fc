package handlers

import (
	"fmt"
	"strings"
	"testing"
)

// TestMetrics: requests are counted by what the specification calls their path, and by nothing that a client sent.
func TestMetrics(t *testing.T) {
	e := newEdge(t)
	const secret = "hunter2"
	e.expect(201, "POST", "/v1/executors", `{"id": "web-zqxj", "name": "name-zqxj", "mounts": {"m-zqxj": {"source": "nfs://u:`+secret+`@host/x", "path": "/m"}}}`, nil)
	e.expect(200, "GET", "/v1/executors/web-zqxj", "", nil)
	e.expect(200, "HEAD", "/v1/executors/web-zqxj", "", nil)
	e.expect(404, "GET", "/v1/executors/none-zqxj", "", nil)
	e.expect(400, "GET", "/v1/executors/web-zqxj/keys?scope="+secret, "", nil)
	e.expect(400, "GET", "/v1/executors/web-zqxj/keys?scop="+secret, "", nil)
	e.expect(404, "GET", "/v1/"+secret, "", nil)
	e.expect(404, "GET", "//"+secret, "", nil)
	e.expect(405, "BREW", "/v1/executors/web-zqxj", "", nil)
	e.expect(204, "OPTIONS", "/v1/executors/web-zqxj", "", nil)
	e.expect(200, "GET", "/docs", "", nil)
	e.expect(200, "GET", "/docs/swagger-ui.css", "", nil)
	e.expect(200, "GET", "/swagger.json", "", nil)
	e.expect(200, "GET", "/metrics", "", nil)

	a := e.expect(200, "GET", "/metrics", "", nil)
	if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("metrics are %s", got)
	}
	shown := string(a.body)
	for _, n := range []struct {
		route, method string
		code, count   int
	}{
		{"/v1/executors", "POST", 201, 1},
		{"/v1/executors/{id}", "GET", 200, 1},
		{"/v1/executors/{id}", "HEAD", 200, 1},
		{"/v1/executors/{id}", "GET", 404, 1},
		{"/v1/executors/{id}/keys", "GET", 400, 2},
		{"other", "GET", 404, 2},
		{"other", "other", 405, 1},
		{"other", "OPTIONS", 204, 1},
		{"/docs", "GET", 200, 2},
		{"/swagger.json", "GET", 200, 1},
		{"/metrics", "GET", 200, 1},
	} {
		if line := fmt.Sprintf("config_server_http_requests_total{code=\"%d\",method=%q,route=%q} %d\n", n.code, n.method, n.route, n.count); !strings.Contains(shown, line) {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(shown, secret) || strings.Contains(shown, "zqxj") {
		t.Errorf("metrics tell what a client sent:\n%s", shown)
	}
	if got := strings.Count(shown, "\nconfig_server_http_requests_total{"); got != 11 {
		t.Errorf("%d kinds of requests were counted", got)
	}

	e.expect(200, "HEAD", "/metrics", "", nil)
	e.expect(405, "POST", "/metrics", "{}", nil)
	if got := e.expect(204, "OPTIONS", "/metrics", "", nil).header.Get("Allow"); got != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS allows %q", got)
	}
	e.expect(404, "GET", "/metrics/", "", nil)
}

// TestEveryRouteIsCounted: no operation is one of the others.
func TestEveryRouteIsCounted(t *testing.T) {
	e := newEdge(t)
	for path, item := range specification().Paths.Paths {
		target := strings.NewReplacer("{id}", "x", "{name}", "x", "{sessionId}", "x", "{execId}", "x").Replace(path)
		if strings.Contains(target, "{") {
			t.Errorf("%s has a parameter that this test does not know", path)
		}
		method := "GET"
		if item.Get == nil {
			method = "POST"
		}
		e.do(method, target, "")
		if line := fmt.Sprintf("method=%q,route=%q} 1\n", method, path); !strings.Contains(string(e.do("GET", "/metrics", "").body), line) {
			t.Errorf("no request of %s was counted", path)
		}
	}
}
