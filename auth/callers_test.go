package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/auth/authtest"
)

// callersTest serves who its callers are: {"Name", "Role", "Executor"}, or the error.
type callersTest struct {
	*testing.T
	callers *Callers
	log     *bytes.Buffer
	server  *http.Server
}

func serveCallers(t *testing.T, o Options) *callersTest {
	t.Helper()
	c := &callersTest{T: t, log: &bytes.Buffer{}}
	o.Logger = slog.New(slog.NewTextHandler(c.log, nil))
	var err error
	if c.callers, err = Open(o); err != nil {
		t.Fatal(err)
	}
	c.server = &http.Server{
		ConnContext: ConnContext, ReadHeaderTimeout: time.Minute, ErrorLog: log(io.Discard),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, err := c.callers.Identify(r)
			switch {
			case errors.Is(err, ErrUnauthenticated):
				http.Error(w, err.Error(), http.StatusUnauthorized)
			case errors.Is(err, ErrForbidden):
				http.Error(w, err.Error(), http.StatusForbidden)
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			default:
				_ = json.NewEncoder(w).Encode(p)
			}
		}),
	}
	t.Cleanup(func() { c.server.Close() })
	return c
}

// listen serves on a loopback address, or on a unix socket; it answers the address.
func (c *callersTest) listen(network, address string) string {
	c.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		c.Fatal(err)
	}
	if config := c.callers.TLS(); config != nil && network == "tcp" {
		l = tls.NewListener(l, config)
	}
	go c.server.Serve(l) //nolint:errcheck // it ends with the test
	return l.Addr().String()
}

// ask makes a request, and answers who the server says it is: "ci operator", or "401" and the like. Headers come in pairs.
func (c *callersTest) ask(client *http.Client, url string, headers ...string) string {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), http.MethodPost, url, http.NoBody)
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		return "no answer"
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return answer.Status[:3]
	}
	var p Principal
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
		c.Fatal(err)
	}
	return p.Name + " " + p.RoleText()
}

func log(w io.Writer) *stdlog.Logger {
	return slog.NewLogLogger(slog.NewTextHandler(w, nil), slog.LevelInfo)
}

// TestLoopback: without tokens and certificates whoever is on this machine is an administrator, unless it is a browser that was sent here.
func TestLoopback(t *testing.T) {
	c := serveCallers(t, Options{})
	url := "http://" + c.listen("tcp", "127.0.0.1:0")
	for _, tc := range []struct {
		want    string
		headers []string
	}{
		{"loopback admin", nil},
		{"loopback admin", []string{"Host", "localhost"}},
		{"loopback admin", []string{"Host", "LOCALHOST:80"}},
		{"loopback admin", []string{"Host", "[::1]:80"}},
		{"loopback admin", []string{"Host", "[::1]"}},
		{"loopback admin", []string{"Host", "127.1.2.3"}},
		{"loopback admin", []string{"Origin", url}},
		{"loopback admin", []string{"Sec-Fetch-Site", "same-origin"}},
		{"loopback admin", []string{"Sec-Fetch-Site", "none"}},
		{"403", []string{"Host", "rebound.example.com"}},
		{"403", []string{"Host", "localhost.example.com"}},
		{"403", []string{"Host", "127.0.0.1.example.com:80"}},
		{"403", []string{"Host", "192.0.2.1"}},
		{"403", []string{"Origin", "http://example.com"}},
		{"403", []string{"Origin", "null"}},
		{"403", []string{"Sec-Fetch-Site", "cross-site"}},
		{"403", []string{"Sec-Fetch-Site", "same-site"}},
		{"401", []string{"Authorization", "Bearer cfgs_x"}}, // what is shown counts, if for nothing
	} {
		if got := c.ask(http.DefaultClient, url, tc.headers...); got != tc.want {
			t.Errorf("%q: %s, want %s", tc.headers, got, tc.want)
		}
	}
	elsewhere := httptest.NewRequest(http.MethodGet, "http://localhost/", nil) // a connection that nothing is known of
	if p, err := c.callers.Identify(elsewhere); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("somebody from nowhere is %v %v", p, err)
	}
}

func TestBearerTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	token := newToken(t, file, "ci", "operator")
	c := serveCallers(t, Options{TokenFile: file})
	url := "http://" + c.listen("tcp", "127.0.0.1:0")
	for _, tc := range []struct {
		want    string
		headers []string
	}{
		{"401", nil}, // also on this machine
		{"ci operator", []string{"Authorization", "Bearer " + token}},
		{"ci operator", []string{"Authorization", "bearer  " + token}},
		{"ci operator", []string{"Authorization", "Bearer " + token, "Host", "config.example.com"}},
		{"401", []string{"Authorization", token}},
		{"401", []string{"Authorization", "Basic " + token}},
		{"401", []string{"Authorization", "Bearer " + token + "x"}},
		{"401", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}},
		{"403", []string{"Authorization", "Bearer " + token, "Sec-Fetch-Site", "cross-site"}},
	} {
		if got := c.ask(http.DefaultClient, url, tc.headers...); got != tc.want {
			t.Errorf("%d headers: %s, want %s", len(tc.headers), got, tc.want)
		}
	}
	if got := c.ask(http.DefaultClient, url+"/?access_token="+token); got != "401" {
		t.Errorf("a token in the query, which ends up in logs: %s", got)
	}
}

// TestUnixSockets: the server's own user is an administrator there, and a token makes it less.
func TestUnixSockets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	token := newToken(t, file, "ci", "viewer")
	c := serveCallers(t, Options{TokenFile: file})
	path := c.listen("unix", filepath.Join(t.TempDir(), "api.sock"))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	self := principal(t, "uid-"+strconv.Itoa(os.Geteuid()), "admin")
	if got := c.ask(client, "http://localhost/"); got != self.Name+" admin" {
		t.Errorf("the server's own user is %s", got)
	}
	if got := c.ask(client, "http://localhost/", "Authorization", "Bearer "+token); got != "ci viewer" {
		t.Errorf("with a token: %s", got)
	}
	if got := c.ask(client, "http://rebound.example.com/"); got != "403" {
		t.Errorf("another Host: %s", got)
	}
	// Who somebody else is cannot be tried without being somebody else.
	for uid, admin := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, 4242: false} {
		if p, ok := (place{socket: true, uid: uid}).principal(false); ok != admin || ok && p.Role != Admin {
			t.Errorf("user %d: %v", uid, p)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ours, theirs := authtest.New(t), authtest.New(t)
	server := ours.Server()
	file := filepath.Join(t.TempDir(), "tokens")
	token := newToken(t, file, "ci", "viewer")
	c := serveCallers(t, Options{TokenFile: file, CAFile: ours.File, Certificate: server.Certificate, Key: server.Key})
	url := "https://" + c.listen("tcp", "127.0.0.1:0")
	expired := func(x *x509.Certificate) {
		x.Subject.CommonName, x.NotAfter = "late", time.Now().Add(-time.Minute)
	}
	for _, tc := range []struct {
		name, want string
		pair       authtest.Pair
		headers    []string
	}{
		{"none", "401", authtest.Pair{}, nil},
		{"operator", "ops operator", ours.Client("ops", roleURI+"operator"), nil},
		{"guest", "guest vm:web-1", ours.Client("guest", roleURI+"vm:web-1"), nil},
		{"long id", "guest vm:" + strings.Repeat("a", 128), ours.Client("guest", roleURI+"vm:"+strings.Repeat("a", 128)), nil},
		{"other URIs as well", "ops admin", ours.Client("ops", "spiffe://example.com/ops", roleURI+"admin"), nil},
		{"token first", "ci viewer", ours.Client("ops", roleURI+"admin"), []string{"Authorization", "Bearer " + token}},
		{"bad token", "401", ours.Client("ops", roleURI+"admin"), []string{"Authorization", "Bearer x"}},
		{"sent by another page", "403", ours.Client("ops", roleURI+"admin"), []string{"Sec-Fetch-Site", "cross-site"}},
		{"no role", "401", ours.Client("ops"), nil},
		{"two roles", "401", ours.Client("ops", roleURI+"admin", roleURI+"viewer"), nil},
		{"role that is none", "401", ours.Client("ops", roleURI+"root"), nil},
		{"no name", "401", ours.Client("", roleURI+"admin"), nil},
		{"somebody else's", "no answer", theirs.Client("ops", roleURI+"admin"), nil},
		{"expired", "no answer", ours.Issue(expired), nil},
		{"a server's", "no answer", ours.Server(), nil},
	} {
		client, done := tlsClient(t, ours, tc.pair)
		if got := c.ask(client, url, tc.headers...); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		done()
	}
}

// tlsClient trusts an authority, and shows a certificate unless there is none.
func tlsClient(t *testing.T, a *authtest.Authority, pair authtest.Pair) (client *http.Client, done func()) {
	t.Helper()
	roots, err := readAuthorities(a.File)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: roots.pool}
	if pair.Certificate != "" {
		certificate, err := readPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Also when the server's authorities are others: what it says then is the question.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// TestAuthoritiesChange: who was let in by one that is trusted no more is out with the next request, on the same connection.
func TestAuthoritiesChange(t *testing.T) {
	old, next := authtest.New(t), authtest.New(t)
	server := old.Server()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	authtest.Replace(t, ca, old.File)
	c := serveCallers(t, Options{CAFile: ca, Certificate: server.Certificate, Key: server.Key})
	url := "https://" + c.listen("tcp", "127.0.0.1:0")
	early, done := tlsClient(t, old, old.Client("early", roleURI+"admin"))
	defer done()
	late, done := tlsClient(t, old, next.Client("late", roleURI+"admin"))
	defer done()
	ask := func(client *http.Client, want string) {
		t.Helper()
		if got := c.ask(client, url); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	ask(early, "early admin")
	ask(late, "no answer")
	authtest.Replace(t, ca, server.Key) // no certificate at all
	ask(early, "early admin")
	authtest.Replace(t, ca, next.File)
	ask(early, "401")
	ask(late, "late admin")
	if got := strings.Count(c.log.String(), "level=ERROR"); got != 1 {
		t.Errorf("%d faults were logged:\n%s", got, c.log)
	}
}

// TestTLS13: older ones are not spoken, and the certificate is the one that is there by then; half of a new pair changes nothing.
func TestTLS13(t *testing.T) {
	a := authtest.New(t)
	first, second := a.Server(), a.Server()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authtest.Replace(t, certificate, first.Certificate)
	authtest.Replace(t, key, first.Key)
	c := serveCallers(t, Options{CAFile: a.File, Certificate: certificate, Key: key})
	address := c.listen("tcp", "127.0.0.1:0")
	serves := func(want authtest.Pair) {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // what it said is what counts
		state := conn.ConnectionState()
		pair, err := readPair(want.Certificate, want.Key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state.PeerCertificates[0].Raw, pair.Leaf.Raw) || state.Version != tls.VersionTLS13 {
			t.Errorf("the certificate is another, or the version: %x", state.Version)
		}
	}
	serves(first)
	authtest.Replace(t, certificate, second.Certificate)
	serves(first)
	if !strings.Contains(c.log.String(), "level=ERROR") {
		t.Errorf("a pair that does not match was not logged:\n%s", c.log)
	}
	authtest.Replace(t, key, second.Key)
	serves(second)
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
	if _, err := Open(Options{Certificate: first.Certificate, Key: second.Key}); err == nil || !strings.Contains(err.Error(), "--tls-key") {
		t.Errorf("a pair that does not match: %v", err)
	}
}
