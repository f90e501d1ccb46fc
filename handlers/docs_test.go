package handlers

import (
	"bytes"
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestDocs: the page and all that it names come from the handler, and its policy lets nothing else in. That a
// browser renders it is for `make test-system` to see.
func TestDocs(t *testing.T) {
	e := newEdge(t)
	page := e.expect(200, "GET", "/docs", "", nil)
	if got := page.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", got)
	}
	if !bytes.Contains(page.body, []byte("SwaggerUIBundle(")) || !bytes.Contains(page.body, []byte("/swagger.json")) {
		t.Errorf("no Swagger UI of ours: %s", page.body)
	}
	named := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllSubmatch(page.body, -1)
	if len(named) < 4 {
		t.Errorf("the page names %q", named)
	}
	for _, m := range named {
		name := string(m[1])
		if !strings.HasPrefix(name, "/docs/") {
			t.Errorf("the page loads %s", name)
			continue
		}
		plain := e.expect(200, "GET", name, "", nil)
		zipped := e.expect(200, "GET", name, "", nil, "Accept-Encoding", "gzip")
		if zipped.header.Get("Content-Encoding") == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(zipped.body))
			if err != nil {
				t.Fatal(err)
			}
			if zipped.body, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if len(plain.body) == 0 || !bytes.Equal(plain.body, zipped.body) {
			t.Errorf("%s has %d bytes plain and %d compressed", name, len(plain.body), len(zipped.body))
		}
		for _, headers := range [][]string{{"Range", "bytes=99999999-"}, {"If-Match", `"x"`}, {"If-None-Match", "*"}, {"Accept", "text/turtle"}} {
			e.expect(200, "GET", name, "", nil, headers...)
		}
	}
	policy := page.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("the page's policy is %q", policy)
	}
	for _, directive := range []string{"script-src", "style-src"} {
		_, sources, _ := strings.Cut(policy, directive)
		sources, _, _ = strings.Cut(sources, ";")
		element := strings.TrimSuffix(directive, "-src")
		if got, want := strings.Count(sources, "'sha256-"), strings.Count(string(page.body), "<"+element+">"); got != want || want == 0 {
			t.Errorf("%s lets in %d elements of the page's %d", directive, got, want)
		}
	}
	for _, target := range []string{"/docs/", "/docs/nothing", "/docs/swagger-ui.css.gz", "/docs/oauth2-redirect.html"} {
		e.expect(404, "GET", target, "", nil)
	}
	if a := e.expect(200, "GET", "/docs?proxy=http://192.0.2.1", "", nil); !bytes.Equal(a.body, page.body) {
		t.Error("the page makes requests for others")
	}
	for _, target := range []string{"/docs", "/docs/swagger-ui.css", "/swagger.json"} {
		if got := e.expect(204, "OPTIONS", target, "", nil).header.Get("Allow"); got != "GET, HEAD, OPTIONS" {
			t.Errorf("OPTIONS of %s allows %q", target, got)
		}
		e.expect(405, "PUT", target, "{}", nil)
		e.expect(200, "HEAD", target, "", nil)
	}
}
