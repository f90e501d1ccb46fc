package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/auth/authtest"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/system"
	"github.com/vmexecutor/config-server/models"
)

// secured is a server that others could reach: with TLS, tokens and client certificates.
type secured struct {
	*server
	authority                    *authtest.Authority
	tokens, ca, certificate, key string
}

func startSecured(t *testing.T, args ...string) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{
		authority: authtest.New(t), tokens: filepath.Join(dir, "tokens"), ca: filepath.Join(dir, "ca.pem"),
		certificate: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
	}
	pair := s.authority.Server()
	authtest.Replace(t, s.ca, s.authority.File)
	authtest.Replace(t, s.certificate, pair.Certificate)
	authtest.Replace(t, s.key, pair.Key)
	if err := os.WriteFile(s.tokens, []byte("# none yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.server = launch(t, filepath.Join(dir, "data"), nil, append([]string{
		"--log-level", "debug", "--tls-certificate", s.certificate, "--tls-key", s.key, "--tls-ca", s.ca, "--token-file", s.tokens,
	}, args...)...)
	return s
}

// newToken makes one as operators do.
func (s *secured) newToken(role, name string) string {
	s.Helper()
	cmd := exec.Command(binary, "token", "new", "--token-file", s.tokens, "--role", role, "--name", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// connect makes a client that trusts the server.
func (s *secured) connect(opts ...apiclient.Option) *apiclient.Client {
	s.Helper()
	c, err := apiclient.New(s.api, append(opts, apiclient.WithCA(s.authority.File))...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(c.Close)
	return c
}

// TestOverTLS: callers with tokens and certificates do what they may, and their names are in the feed of changes.
func TestOverTLS(t *testing.T) {
	s := startSecured(t, "--host", "0.0.0.0")
	if !strings.HasPrefix(s.api, "https://") {
		t.Fatalf("the API is at %s", s.api)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.api, "https://"), "]:")
	s.api = "https://127.0.0.1:" + port
	create := func(c *apiclient.Client, id string) error {
		_, err := c.Executors.CreateExecutorContext(t.Context(), executors.NewCreateExecutorParams().WithBody(&models.Executor{ID: id}))
		return err
	}
	get := func(c *apiclient.Client) error {
		_, err := c.Executors.GetExecutorContext(t.Context(), executors.NewGetExecutorParams().WithID("web-1"))
		return err
	}
	token := s.newToken("operator", "ci")
	pair := s.authority.Client("ops", "urn:config-server:role:admin")
	for name, c := range map[string]*apiclient.Client{"by-token": s.connect(apiclient.WithToken(token)), "by-certificate": s.connect(apiclient.WithCertificate(pair.Certificate, pair.Key)), "web-1": s.connect(apiclient.WithToken(token))} {
		if err := create(c, name); err != nil {
			t.Errorf("%s: %s", name, apiclient.Describe(err))
		}
	}
	viewer := s.connect(apiclient.WithToken(s.newToken("viewer", "eyes")))
	if err := get(viewer); err != nil {
		t.Error(apiclient.Describe(err))
	}
	if err := create(viewer, "x"); !apiclient.IsStatus(err, http.StatusForbidden) {
		t.Errorf("a viewer creates: %v", err)
	}
	if err := get(s.connect()); !apiclient.IsStatus(err, http.StatusUnauthorized) {
		t.Errorf("a caller without anything: %v", err)
	}
	if err := get(s.connect(apiclient.WithToken(token + "x"))); !apiclient.IsStatus(err, http.StatusUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	if err := get(s.connect(apiclient.WithToken(s.newToken("vm:web-2", "guest")))); !apiclient.IsStatus(err, http.StatusNotFound) {
		t.Errorf("another VM's guest: %v", err)
	}
	if _, err := s.connect().System.GetHealthContext(t.Context(), system.NewGetHealthParams()); err != nil {
		t.Errorf("health without credentials: %v", err)
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	s.terminate()
	if strings.Contains(s.output.String()+string(command), token) || strings.Contains(s.output.String(), "cfgs_") {
		t.Error("a token can be read in the log or the command line")
	}
	if log := s.output.String(); !strings.Contains(log, `"caller":"ops"`) || !strings.Contains(log, `"caller":"ci"`) {
		t.Error("the log does not say who called")
	}
}

// TestBackupOfAllAddresses: the command finds a server that listens on all addresses by the same flags.
func TestBackupOfAllAddresses(t *testing.T) {
	s := startSecured(t, "--host", "0.0.0.0")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.newToken("admin", "root")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"0.0.0.0", "::", ""} {
		out, err := command(t, "--host", host, "--port", s.api[strings.LastIndexByte(s.api, ':')+1:], "--tls-certificate", s.certificate, "--tls-key", s.key, "--token-file", s.tokens,
			"backup", "--bearer-file", token, "--ca", s.authority.File, filepath.Join(t.TempDir(), "backup"))
		if err != nil || !strings.Contains(out, "revision") {
			t.Errorf("%q: %v\n%s", host, err, out)
		}
	}
}

// TestRotation: tokens, the server's certificate, the authority and clients' certificates are all replaced while requests
// come in without a pause. None of them fails.
func TestRotation(t *testing.T) {
	s := startSecured(t)
	next := authtest.New(t) // the authority of clients to come
	dir := t.TempDir()
	token, certificate, key := filepath.Join(dir, "token"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	writeToken := func() {
		t.Helper()
		if err := os.WriteFile(token+".new", []byte(s.newToken("viewer", "load")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(token+".new", token); err != nil {
			t.Fatal(err)
		}
	}
	// A client's own pair is in two files, and it reads both for each connection: each pair has a name of its own.
	link := func(pair authtest.Pair) {
		t.Helper()
		authtest.Replace(t, certificate, pair.Certificate)
		authtest.Replace(t, key, pair.Key)
	}
	writeToken()
	link(s.authority.Client("load", "urn:config-server:role:viewer"))

	work := newLoad(t)
	for i := range 6 {
		work.run(func() error {
			option := apiclient.WithTokenFile(token)
			if i%2 == 0 {
				pair := work.pair(certificate, key)
				option = apiclient.WithCertificate(pair.Certificate, pair.Key)
			}
			c, err := apiclient.New(s.api, option, apiclient.WithCA(s.authority.File))
			if err != nil {
				return err
			}
			defer c.Close() // a connection for a few requests
			for range 3 {
				if _, err := c.System.GetVersionContext(t.Context(), system.NewGetVersionParams()); err != nil {
					return errors.New(apiclient.Describe(err))
				}
			}
			return nil
		})
	}
	work.everyone()
	for range 3 {
		old := readFile(t, s.tokens)
		writeToken()
		work.everyone() // uses the new one by now
		if err := os.WriteFile(s.tokens+".new", []byte(strings.TrimPrefix(readFile(t, s.tokens), old)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.tokens+".new", s.tokens); err != nil {
			t.Fatal(err)
		}
		work.everyone()

		pair := s.authority.Server()
		authtest.Replace(t, s.certificate, pair.Certificate) // and for a while the key is another's
		work.everyone()
		authtest.Replace(t, s.key, pair.Key)
		work.everyone()
	}
	both := filepath.Join(dir, "both.pem")
	if err := os.WriteFile(both, []byte(readFile(t, s.authority.File)+readFile(t, next.File)), 0o600); err != nil {
		t.Fatal(err)
	}
	authtest.Replace(t, s.ca, both)
	work.everyone()
	work.change(func() { link(next.Client("load", "urn:config-server:role:viewer")) })
	work.everyone()
	authtest.Replace(t, s.ca, next.File)
	work.everyone()
	if n := work.stop(); n < 100 {
		t.Errorf("%d rounds of requests only", n)
	}
	if !strings.Contains(s.output.String(), "a changed file was read") {
		t.Error("nothing was read again")
	}
}

// load are workers that make requests without a pause.
type load struct {
	*testing.T
	ctx   context.Context
	end   context.CancelFunc
	files sync.RWMutex // held while a client's pair is changed
	all   sync.WaitGroup

	mu     sync.Mutex
	ended  *sync.Cond
	rounds []int
}

func newLoad(t *testing.T) *load {
	l := &load{T: t}
	l.ctx, l.end = context.WithCancel(t.Context())
	l.ended = sync.NewCond(&l.mu)
	t.Cleanup(func() { l.stop() })
	return l
}

// run adds a worker, which makes rounds until the load stops. A round that fails fails the test.
func (l *load) run(round func() error) {
	l.mu.Lock()
	worker := len(l.rounds)
	l.rounds = append(l.rounds, 0)
	l.mu.Unlock()
	l.all.Go(func() {
		for l.ctx.Err() == nil {
			if err := round(); err != nil {
				l.Errorf("worker %d: %v", worker, err)
			}
			l.mu.Lock()
			l.rounds[worker]++
			l.ended.Broadcast()
			l.mu.Unlock()
		}
	})
}

// everyone waits until every worker has begun and ended a round.
func (l *load) everyone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := make([]int, len(l.rounds))
	for i, n := range l.rounds {
		want[i] = n + 2 // the first of them had begun, maybe
	}
	for i := range want {
		for l.rounds[i] < want[i] {
			l.ended.Wait()
		}
	}
}

// pair copies a client's pair, so that both files are of one.
func (l *load) pair(certificate, key string) authtest.Pair {
	l.files.RLock()
	defer l.files.RUnlock()
	dir := l.TempDir()
	pair := authtest.Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	authtest.Replace(l.T, pair.Certificate, certificate)
	authtest.Replace(l.T, pair.Key, key)
	return pair
}

func (l *load) change(f func()) {
	l.files.Lock()
	defer l.files.Unlock()
	f()
}

// stop ends the workers, and answers how many rounds there were.
func (l *load) stop() (rounds int) {
	l.end()
	l.all.Wait()
	for _, n := range l.rounds {
		rounds += n
	}
	return rounds
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLoopbackAlone: what others can reach is refused without TLS and a way to know them, and told so; a page of another site gets nothing.
func TestLoopbackAlone(t *testing.T) {
	a := authtest.New(t)
	pair := a.Server()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"without TLS and authentication":  {"--host", "0.0.0.0"},
		"--host: \"\" is not":             {"--host", ""},
		"--host: \"192.0.2.1\" is not":    {"--host", "192.0.2.1", "--token-file", tokens}, // a token could be read on its way
		"--tls-certificate: needs":        {"--tls-certificate", pair.Certificate, "--tls-key", pair.Key},
		"--tls-key: go together":          {"--tls-certificate", pair.Certificate, "--token-file", tokens},
		"--tls-ca: needs":                 {"--tls-ca", a.File},
		"--token-file: open":              {"--token-file", tokens + ".none"},
		"--tls-ca: open":                  {"--tls-certificate", pair.Certificate, "--tls-key", pair.Key, "--tls-ca", a.File + ".none"},
		"private key does not match":      {"--tls-certificate", pair.Certificate, "--tls-key", a.Server().Key, "--tls-ca", a.File},
		"--socket-mode":                   {"--socket-mode", "1777"},
		"--max-connections-per-client":    {"--max-connections-per-client", "-1"},
		"--max-header: must be":           {"--max-header", "10"},
		"--header-timeout: must be more":  {"--header-timeout", "-1s"},
		"--max-body: must be at least 10": {"--max-body", "-5"},
	} {
		cmd := exec.Command(binary, append(args, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", filepath.Join(t.TempDir(), "data"))...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), says) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	s := start(t, t.TempDir(), nil)
	s.expect(http.StatusCreated, "POST", "/v1/executors", `{"id": "web-1"}`, nil)
	for _, headers := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://example.com"}} {
		r, err := s.request("DELETE", "/v1/executors/web-1", "", headers[:]...)
		if err != nil {
			t.Fatal(err)
		}
		s.refused(r, http.StatusForbidden)
	}
	r, err := s.request("GET", "/v1/executors/web-1", "")
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example.com"
	s.refused(r, http.StatusForbidden)
	s.expect(http.StatusOK, "GET", "/v1/executors/web-1", "", nil)
}

// refused makes a request that must be.
func (s *server) refused(r *http.Request, status int) {
	s.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != status || p.Status != status {
		s.Errorf("%s %s: %d %+v %v", r.Method, r.URL, resp.StatusCode, p, err)
	}
}
