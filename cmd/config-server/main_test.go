package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/auth/authtest"
)

// TestBadDocuments: each gets a 4xx that names the field, and leaves nothing behind.
func TestBadDocuments(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	s.expect(http.StatusCreated, "POST", "/v1/executors", `{"id": "good", "hostname": "before"}`, nil)
	for _, tc := range []struct {
		name, field, doc string
		status           int
	}{
		{"unknown field", "hostnam", `"hostnam": "x"`, 400},
		{"unknown nested field", "sessions.s.cmd.pathh", `"sessions": {"s": {"cmd": {"pathh": "x"}}}`, 400},
		{"bad CIDR", "networks.n.ip", `"networks": {"n": {"ip": "10.0.0.300/8"}}`, 422},
		{"pool outside the gateway's prefix", "networks.n.network.pools.0", `"networks": {"n": {"network": {"gateway": "10.1.0.1/16", "pools": ["10.2.0.1-10.2.0.9"]}}}`, 422},
		{"name with a bar", "sessions.a|b", `"sessions": {"a|b": {}}`, 422},
		{"control character in env", "sessions.s.cmd.env.1", `"sessions": {"s": {"cmd": {"env": ["A=1", "B=\u0001"]}}}`, 422},
		{"literal <nil>", "hostname", `"hostname": "<nil>"`, 422},
		{"no such network", "networks.n.networkRef", `"networks": {"n": {"networkRef": "nowhere"}}`, 422},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.expectProblem(tc.status, tc.field, "POST", "/v1/executors", `{"id": "bad", `+tc.doc+`}`)
			s.expectProblem(tc.status, tc.field, "PUT", "/v1/executors/good", `{`+tc.doc+`}`)
			s.expectProblem(404, "", "GET", "/v1/executors/bad", "")
			var good struct{ Hostname string }
			if s.expect(200, "GET", "/v1/executors/good", "", &good); good.Hostname != "before" {
				t.Errorf("the executor was changed: %+v", good)
			}
		})
	}
}

// TestOneVMOneExecutor: a VM that is taken is refused at once.
func TestOneVMOneExecutor(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "a", "vm": {"driver": "vsphere", "ref": "vm1"}}`, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "b"}`, nil)
	p := s.expectProblem(409, "", "PUT", "/v1/executors/b/vm", `{"driver": "vsphere", "ref": "vm1"}`)
	if !strings.Contains(p.Detail, "a") {
		t.Errorf("the problem does not name the holder: %+v", p)
	}
	s.expectProblem(409, "", "POST", "/v1/executors", `{"id": "c", "vm": {"driver": "vsphere", "ref": "vm1"}}`)
	s.expectProblem(404, "", "GET", "/v1/executors/c", "")
}

func TestOneServerADataDirectory(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	out, err := exec.Command(binary, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "another") {
		t.Errorf("a second server on %s: %v\n%s", dir, err, out)
	}
	s.terminate()
}

func TestWrongUsage(t *testing.T) {
	a := authtest.New(t)
	pair := a.Server()
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"go together", []string{"--tls-certificate", pair.Certificate, "--token-file", "tokens"}},
		{"--tls-ca: needs", []string{"--tls-ca", a.File}},
		{"--tls-certificate: needs", []string{"--tls-certificate", pair.Certificate, "--tls-key", pair.Key}},
		{"--wait", []string{"rotate-key", "--wait", "-1s"}},
		{"address", []string{"backup", "--address", "nowhere", "file"}},
		{"FILE", []string{"backup"}},
		{"--token-file", []string{"token", "new", "--role", "viewer", "--name", "x"}},
		{"role", []string{"token", "new", "--token-file", "tokens", "--role", "king", "--name", "x"}},
		{"must be a URL", []string{"--vsphere-url", "vcenter"}},
		{"loopback", []string{"--host", "0.0.0.0"}},
		{"loopback", []string{"--host", "192.0.2.1"}},
		{"loopback", []string{"--simulator-listen", "0.0.0.0:0"}},
		{"VSPHERE_PASSWORD", []string{"--vsphere-url", "https://user:secret@127.0.0.1/sdk"}},
		{"unknown flag", []string{"--hots", "127.0.0.1"}},
		{"unexpected argument", []string{"serve"}},
		{"log-level", []string{"--log-level", "loud"}},
		{"octal", []string{"--guest-socket-mode", "rw"}},
		{"no group", []string{"--guest-socket-group", "nobodys-group"}},
		{"bytes too long", []string{"--guest-dir", "/" + strings.Repeat("d", 100)}},
	} {
		cmd := exec.Command(binary, append(tc.args, "--data-dir", filepath.Join(t.TempDir(), "data"))...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), tc.says) || strings.Contains(string(out), "secret@") {
			t.Errorf("%v: %v\n%s", tc.args, err, out)
		}
	}
	cmd := exec.Command(binary, "--vsphere-url", "https://127.0.0.1/sdk", "--data-dir", filepath.Join(t.TempDir(), "data")) // the flags are right, the environment is not
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "VSPHERE_USERNAME") {
		t.Errorf("without credentials: %v\n%s", err, out)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	dir := t.TempDir()
	s := start(t, dir, nil, "--socket-path", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	s.kill() // leaves the file behind
	s = start(t, dir, nil, "--socket-path", path)
	s.terminate()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", dir, "--socket-path", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not a socket") {
		t.Errorf("a file in the socket's place: %v\n%s", err, out)
	}
}
