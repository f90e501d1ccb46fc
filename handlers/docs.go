package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// docsPath is where people read the specification.
const docsPath = "/docs"

// docs is Swagger UI, all of it from the binary. Its policy makes the browser refuse whatever would come from, or go to,
// another server, and every script that is not the page's own.
type docs struct {
	ui     http.Handler
	page   []byte
	policy string // Content-Security-Policy
	assets map[string]bool
}

var (
	pageAsset  = regexp.MustCompile(`(?:href|src)="(` + docsPath + `/[^"]+)"`)
	pageScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	pageStyle  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
)

func newDocs() *docs {
	d := &docs{assets: map[string]bool{}}
	d.ui = v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "config-server", SwaggerJSON: specPath, BasePath: docsPath,
		SettingsUI: map[string]string{"defaultModelsExpandDepth": "1"}, // the marks of scope and key are in the models
	})
	var page buffer
	d.ui.ServeHTTP(&page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docsPath}})
	d.page = page.Bytes()
	for _, m := range pageAsset.FindAllSubmatch(d.page, -1) {
		d.assets[string(m[1])] = true
	}
	d.policy = "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self'" + hashes(pageScript, d.page) +
		"; style-src 'self'" + hashes(pageStyle, d.page) + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return d
}

// hashes are the sources of a policy that let through what stands in the page itself.
func hashes(element *regexp.Regexp, page []byte) string {
	var b strings.Builder
	for _, m := range element.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		b.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return b.String()
}

// has reports whether a path is the page or what it loads.
func (d *docs) has(path string) bool { return path == docsPath || d.assets[path] }

func (d *docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", d.policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache") // another build has other files at the same paths
	if r.URL.Path == docsPath {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(d.page) //nolint:gosec // rendered once, of nothing that a request says
		return
	}
	// Only what chooses between plain and compressed is passed on: failed conditions and ranges would be answered with something else than a problem document.
	asset := *r
	asset.Header = http.Header{"Accept-Encoding": r.Header["Accept-Encoding"]}
	d.ui.ServeHTTP(w, &asset)
}

// buffer takes a page that is rendered once.
type buffer struct{ bytes.Buffer }

// Header is that of no answer.
func (*buffer) Header() http.Header { return http.Header{} }

// WriteHeader has nothing to note: rendering cannot fail.
func (*buffer) WriteHeader(int) {}
