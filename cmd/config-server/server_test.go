package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/models"
)

// binary is the server as users run it, built once for all tests; built is the directory it is in.
var binary, built string

func TestMain(m *testing.M) {
	if document := os.Getenv(plainVariable); document != "" {
		servePlain(document)
	}
	dir, err := os.MkdirTemp("", "config-server")
	if err != nil {
		panic(err)
	}
	built, binary = dir, filepath.Join(dir, "config-server")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the server:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// server is a process of the real binary.
type server struct {
	testing.TB
	cmd       *exec.Cmd
	ready     time.Duration // from its start until it served
	api       string        // base URL of the API
	simulator string        // URL of the simulator, if it started one
	output    *lines
	opinion   *opinion
}

// lines keeps what the server logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	next chan struct{} // closed and replaced with each line
	done chan struct{}
}

// add adds a line.
func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
	close(l.next)
	l.next = make(chan struct{})
}

// have tells whether a text is there, and what is closed when there is more.
func (l *lines) have(text string) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text), l.next
}

// logs waits until the server has logged a text.
func (s *server) logs(text string) {
	s.Helper()
	for {
		have, more := s.output.have(text)
		if have {
			return
		}
		select {
		case <-more:
		case <-s.output.done:
			s.Fatalf("the server ended, and had not logged %s", text)
		}
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the server until it said where it listens. Ports are free ones.
func start(t testing.TB, dataDir string, env []string, args ...string) *server {
	t.Helper()
	s := launch(t, dataDir, env, args...)
	s.opinion = newOpinion(t, s.api)
	return s
}

// launch is start for tests that make their requests by themselves.
func launch(t testing.TB, dataDir string, env []string, args ...string) *server {
	t.Helper()
	return launchCommand(t, exec.Command(binary), nil, dataDir, env, args...)
}

// startCommand is start for a server that is run by a command which takes its flags.
func startCommand(t testing.TB, cmd *exec.Cmd, attr *syscall.SysProcAttr, dataDir string, env []string, args ...string) *server {
	t.Helper()
	s := launchCommand(t, cmd, attr, dataDir, env, args...)
	s.opinion = newOpinion(t, s.api)
	return s
}

func launchCommand(t testing.TB, cmd *exec.Cmd, attr *syscall.SysProcAttr, dataDir string, env []string, args ...string) *server {
	t.Helper()
	cmd.Args = append(cmd.Args, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", dataDir)
	cmd.Args = append(cmd.Args, args...)
	cmd.Env, cmd.SysProcAttr = append(os.Environ(), env...), attr
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{TB: t, cmd: cmd, output: &lines{next: make(chan struct{}), done: make(chan struct{})}}
	listening := make(chan struct{})
	go s.read(stderr, listening)
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the server logged:\n%s", s.output)
		}
	})
	select {
	case <-listening:
		s.ready = time.Since(begun)
	case <-s.output.done:
		t.Fatalf("the server ended early:\n%s", s.output)
	}
	return s
}

// read takes the addresses from the first lines of the log, and keeps the rest.
func (s *server) read(stderr io.Reader, listening chan struct{}) {
	defer close(s.output.done)
	for scan := bufio.NewScanner(stderr); scan.Scan(); {
		s.output.add(scan.Text())
		var line struct{ Msg, What, URL string }
		if json.Unmarshal(scan.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Msg == "listening" && line.What == "api" && line.URL != "":
			s.api = line.URL
		case line.Msg == "listening" && line.What == "vsphere simulator":
			s.simulator = line.URL
		case line.Msg == "serving":
			close(listening)
		}
	}
}

// kill ends the server as a power failure would.
func (s *server) kill() {
	if err := s.cmd.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	<-s.output.done
	_ = s.cmd.Wait() // says that it was killed
}

// terminate ends it as an operator would, and expects a clean end.
func (s *server) terminate() {
	s.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.Fatal(err)
	}
	<-s.output.done
	if err := s.cmd.Wait(); err != nil {
		s.Errorf("the server ended with %v:\n%s", err, s.output)
	}
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem is the shape of every error.
type problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	Errors                        []struct{ Field, Message string }
}

// do makes a request. Headers come in pairs; a body is JSON unless they say otherwise.
func (s *server) do(method, path, body string, headers ...string) answer {
	s.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

func (s *server) try(method, path, body string, headers ...string) (answer, error) {
	req, err := s.request(method, path, body, headers...)
	if err != nil {
		return answer{}, err
	}
	resp, err := (&http.Client{Transport: s.opinion}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: read}, err
}

// watch reads the feed until an event is the last one that is wanted.
func (s *server) watch(path string, last func(*models.Event) bool) {
	s.Helper()
	r, err := s.request("GET", path, "")
	if err != nil {
		s.Fatal(err)
	}
	resp, err := (&http.Client{Transport: s.opinion}).Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			s.Fatalf("GET %s: %d %s: %v", path, resp.StatusCode, line, err)
		}
		e := new(models.Event)
		if err := json.Unmarshal(line, e); err != nil {
			s.Fatal(err)
		}
		if last(e) {
			return
		}
	}
}

func (s *server) request(method, path, body string, headers ...string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(s.Context(), method, s.api+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req, nil
}

// expect makes a request and decodes its answer into v, unless v is nil.
func (s *server) expect(status int, method, path, body string, v any) answer {
	s.Helper()
	a := s.do(method, path, body)
	if a.status != status {
		s.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	if v != nil {
		if err := json.Unmarshal(a.body, v); err != nil {
			s.Fatalf("%s %s: %v: %s", method, path, err, a.body)
		}
	}
	return a
}

// expectProblem makes a request that must be refused and names the field that is at fault.
func (s *server) expectProblem(status int, field, method, path, body string) problem {
	s.Helper()
	var p problem
	a := s.expect(status, method, path, body, &p)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		s.Errorf("%s %s: Content-Type %q", method, path, got)
	}
	if p.Status != status || p.Title == "" {
		s.Errorf("%s %s: %s", method, path, a.body)
	}
	if field == "" {
		return p
	}
	for _, e := range p.Errors {
		if e.Field == field && e.Message != "" {
			return p
		}
	}
	s.Errorf("%s %s: no error names %s: %s", method, path, field, bytes.TrimSpace(a.body))
	return p
}

type keyRow struct {
	Key, Value, Scope, Field string
	Secret, NonPersistent    bool
}

// keys gives an executor's key set by key.
func (s *server) keys(id, scope string) map[string]keyRow {
	s.Helper()
	var list struct{ Keys []keyRow }
	s.expect(http.StatusOK, "GET", "/v1/executors/"+id+"/keys?scope="+scope, "", &list)
	rows := map[string]keyRow{}
	for _, r := range list.Keys {
		rows[r.Key] = r
	}
	return rows
}

type status struct {
	State, LastError, NextRetry     string
	DesiredRevision, PushedRevision uint64
	Attempts                        int
}

// push has an executor pushed and gives the status.
func (s *server) push(id string) status {
	s.Helper()
	var st status
	s.expect(http.StatusOK, "POST", "/v1/executors/"+id+"/push", "", &st)
	return st
}
