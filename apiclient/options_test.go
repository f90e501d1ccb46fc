package apiclient

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/client/system"
)

// TestTokens: each request shows the token as it is by then, to the server and to nobody else.
func TestTokens(t *testing.T) {
	shown := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown <- "elsewhere: " + r.Header.Get("Authorization")
		answer(w, http.StatusOK, "application/json", `{"status": "ok"}`)
	}))
	defer other.Close()
	redirect := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redirect {
			http.Redirect(w, r, other.URL+"/healthz", http.StatusTemporaryRedirect)
			return
		}
		shown <- r.Header.Get("Authorization")
		answer(w, http.StatusOK, "application/json", `{"status": "ok"}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(c *Client, want string) {
		t.Helper()
		_, err := c.System.GetHealthContext(t.Context(), system.NewGetHealthParams())
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
			return
		}
		if got := <-shown; err != nil || got != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	connect := func(o Option) *Client {
		t.Helper()
		c, err := New(server.URL, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ask(connect(WithToken("first")), "Bearer first")
	c := connect(WithTokenFile(file))
	ask(c, "")
	write("second\n")
	ask(c, "Bearer second")
	write("third")
	ask(c, "Bearer third")
	write("two secrets")
	ask(c, "")
	ask(connect(WithToken("")), "")
	redirect = true
	ask(connect(WithToken("first")), "elsewhere: ")

	for address, good := range map[string]bool{"http://192.0.2.1": false, "http://config.example.com:8080": false, "https://config.example.com": true, "http://[::1]:80": true, "unix:///run/x.sock": true} {
		c, err := New(address, WithToken("secret"))
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

// TestTrust: a server is trusted if its certificate leads to one of the file's.
func TestTrust(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "application/json", `{"status": "ok"}`)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := New(server.URL, WithCA(ca)); err == nil {
		t.Error("a file that there is not is trusted")
	}
	if err := os.WriteFile(ca, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(server.URL, WithCA(ca)); err == nil {
		t.Error("a file without certificates is trusted")
	}
	if _, err := New(server.URL, WithCertificate(ca, ca)); err == nil {
		t.Error("a file without certificates is shown")
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for trusted, opts := range map[bool][]Option{false: nil, true: {WithCA(ca)}} {
		c, err := New(server.URL, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.System.GetHealthContext(t.Context(), system.NewGetHealthParams()); (err == nil) != trusted {
			t.Errorf("trusted: %v, want %v: %v", err == nil, trusted, err)
		}
		c.Close()
	}
}
