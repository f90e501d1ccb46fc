package apiclient

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/system"
)

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"http://127.0.0.1:8080":            true,
		"http://[::1]:8080":                true,
		"https://config.example.com":       true,
		"https://config.example.com/":      true,
		"unix:///run/config-server.sock":   true,
		"":                                 false,
		"127.0.0.1:8080":                   false,
		"localhost:8080":                   false,
		"ftp://127.0.0.1":                  false,
		"http://":                          false,
		"http://127.0.0.1:8080/v1":         false,
		"http://127.0.0.1:port":            false,
		"unix://run/config-server.sock":    false,
		"unix://":                          false,
		"/run/config-server.sock":          false,
		"http://user:secret@127.0.0.1:x":   false,
		"http://user:secret@127.0.0.1":     false,
		"http://127.0.0.1:8080?a=b":        false,
		"unix:///run/config-server.sock?a": false,
		"http://127.0.0.1:8080#fragment":   false,
	} {
		c, err := New(address)
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password: %v", address, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

func TestOverTCPAndUnixSocket(t *testing.T) {
	hosts := make(chan string, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		answer(w, http.StatusOK, "application/json", `{"status": "ok"}`)
	})
	tcp := httptest.NewServer(handler)
	defer tcp.Close()
	path := filepath.Join(t.TempDir(), "api.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	unix.Start()
	defer unix.Close()

	for address, host := range map[string]string{
		tcp.URL:          strings.TrimPrefix(tcp.URL, "http://"),
		"unix://" + path: "localhost", // a loopback name, as servers check it
	} {
		c, err := New(address)
		if err != nil {
			t.Fatal(err)
		}
		health, err := c.System.GetHealthContext(t.Context(), system.NewGetHealthParams())
		if err != nil || health.Payload.Status != "ok" {
			t.Errorf("%s: %v %v", address, health, err)
		}
		if got := <-hosts; got != host {
			t.Errorf("%s: the Host was %q, want %q", address, got, host)
		}
		c.Close()
	}
}

// TestMediaTypes: what is sent as a merge patch is one, byte for byte, and problems are read.
func TestMediaTypes(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got := r.Header.Get("Content-Type"); got != "application/merge-patch+json" {
			t.Errorf("Content-Type is %q", got)
		}
		if got := strings.TrimSpace(string(body)); got != `{"annotations":{"team":null}}` {
			t.Errorf("the body is %s", got)
		}
		answer(w, http.StatusOK, "application/json", `{"id": "web"}`)
	})
	patch, err := MergePatch(map[string]any{"annotations": map[string]any{"team": nil}})
	if err != nil {
		t.Fatal(err)
	}
	patched, err := c.Executors.PatchExecutorContext(t.Context(), executors.NewPatchExecutorParams().WithID("web").WithBody(patch))
	if err != nil || patched.Payload.ID != "web" {
		t.Errorf("%v %v", patched, err)
	}
}

// TestReadme: what the README shows is an example that runs.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "\n```go\n")
	code, _, found := strings.Cut(rest, "```")
	if !found || !strings.Contains(string(examples), code) {
		t.Errorf("no example is the README's:\n%s", code)
	}
}

// serve gives the client of a server that answers so.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answer writes a response. A client that does not get it says so itself.
func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
