package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// host is a VM whose keys are those of an executor. Its guest may set what is read-write.
type host struct {
	server *guest.Server

	mu       sync.Mutex
	revision uint64
	keys     map[string]extraconfig.Pair
}

var secretKey = []byte(strings.Repeat("k", 32))

func (h *host) Hello(context.Context, guest.Hello) (guest.Welcome, error) {
	return guest.Welcome{Executor: "e1", Key: secretKey}, nil
}

func (h *host) Snapshot(context.Context) (guest.Snapshot, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := guest.Snapshot{Revision: h.revision}
	for _, key := range slices.Sorted(maps.Keys(h.keys)) {
		s.Keys = append(s.Keys, guest.Pair{Key: key, Value: extraconfig.Escape(h.keys[key].Value)})
	}
	return s, nil
}

func (h *host) Set(_ context.Context, keys []guest.Pair) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range keys {
		if own, ok := h.keys[p.Key]; !ok || own.Scope() != extraconfig.ReadWrite {
			return 0, &guest.Refusal{Key: p.Key, Reason: "is not for the guest to set"}
		}
	}
	for _, p := range keys {
		own := h.keys[p.Key]
		own.Value = extraconfig.Unescape(p.Value)
		h.keys[p.Key] = own
	}
	h.revision++
	return h.revision, nil
}

// assert makes the keys those of an executor.
func (h *host) assert(t *testing.T, c *executor.ExecutorConfig) {
	t.Helper()
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := codec.Encode(c, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revision++
	h.keys = map[string]extraconfig.Pair{}
	for p := range keys.All() {
		if p.Scope().GuestVisible() {
			h.keys[p.Key] = p
		}
	}
}

func web(t *testing.T) *executor.ExecutorConfig {
	t.Helper()
	source, err := executor.ParseSource("nfs://user:secret-word@host/export")
	if err != nil {
		t.Fatal(err)
	}
	c := &executor.ExecutorConfig{Hostname: "two\nlines", Mounts: map[string]executor.MountSpec{"data": {Source: source, Path: "/data"}}}
	c.ID, c.Name = "e1", "web"
	return c
}

// start serves a VM on a socket, which the environment names.
func start(t *testing.T) *host {
	t.Helper()
	h := &host{}
	h.assert(t, web(t))
	h.server = guest.NewServer(h, guest.Options{})
	dir, err := os.MkdirTemp("", "tether") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _ = h.server.Serve(ctx, conn) })
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); all.Wait(); _ = os.RemoveAll(dir) })
	t.Setenv(channelVariable, "unix:"+l.Addr().String())
	return h
}

// call runs the command.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c := &tether{stdout: &out, stderr: &errs}
	code = c.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	start(t)
	const user = "guestinfo.vice./mounts|data/source/User@secret"
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"get", "guestinfo.vice./common/name"}, 0, "web\n", ""},
		{[]string{"get", "GUESTINFO.VICE./common/name"}, 0, "web\n", ""},
		{[]string{"get", "guestinfo.vice./hostname"}, 0, "two\nlines\n", ""},
		{[]string{"get", "guestinfo.vice./domainname"}, 0, "\n", ""},
		{[]string{"get", user}, 0, "user:secret-word\n", ""},
		{[]string{"get", "annotations"}, 1, "", "tether: no such key: annotations\n"},
		{[]string{"set", "guestinfo.vice..diagnostics.resurrections", "7"}, 0, "", ""},
		{[]string{"get", "guestinfo.vice..diagnostics.resurrections"}, 0, "7\n", ""},
		{[]string{"set", "guestinfo.vice./common/name", "x"}, 1, "", "tether: guestinfo.vice./common/name: is not for the guest to set\n"},
		{[]string{"set", "guestinfo.vice..diagnostics.resurrections", "-5"}, 0, "", ""},

		{[]string{"rpc", "info-get guestinfo.vice./common/name"}, 0, "web\n", ""},
		{[]string{"rpc", "info-get guestinfo.vice./domainname"}, 0, "<nil>\n", ""},
		{[]string{"rpc", "info-get guestinfo.nothing"}, 1, "", "No value found\n"},
		{[]string{"rpc", "info-set guestinfo.vice..diagnostics.resurrections 8"}, 0, "\n", ""},
		{[]string{"rpc", "info-get guestinfo.vice..diagnostics.resurrections", "and more"}, 0, "8\n", ""},
		{[]string{"rpc", "info-set guestinfo.vice./common/name a b"}, 1, "", "Permission denied\ntether: guestinfo.vice./common/name: is not for the guest to set\n"},
		{[]string{"rpc", "info-set guestinfo.vice..diagnostics.resurrections "}, 1, "", "Permission denied\ntether: a key cannot be deleted; an empty value is <nil>\n"},
		{[]string{"rpc", "log hello"}, 1, "", "Unknown command\n"},

		{[]string{"--channel", "unix:/no/where", "get", "x"}, 1, "", "tether: unix:/no/where: dial unix /no/where: connect: no such file or directory\n"},
		{[]string{"rpc", "--channel=unix:/no/where", "info-get guestinfo.x"}, 1, "", "RpcOut: Unable to open the communication channel\ntether: unix:/no/where: dial unix /no/where: connect: no such file or directory\n"},
		{[]string{"get", "--channel", "tcp:1", "x"}, 1, "", "tether: \"tcp:1\" is no address: unix:/path, virtio:NAME, vsock:CID:PORT or /dev/... are\n"},
		{[]string{"--channel", "virtio:no.such", "list"}, 1, "", "tether: virtio:no.such: no such virtio-serial port: no.such\n"},

		{nil, 2, "", "tether: no command\ntether -h tells more\n"},
		{[]string{"got", "x"}, 2, "", "tether: no such command: \"got\"\ntether -h tells more\n"},
		{[]string{"get"}, 2, "", "tether: usage: tether get KEY\ntether -h tells more\n"},
		{[]string{"list", "x"}, 2, "", "tether: usage: tether list\ntether -h tells more\n"},
		{[]string{"--timeout", "x", "list"}, 2, "", "tether: invalid value \"x\" for flag -timeout: parse error\ntether -h tells more\n"},
		{[]string{"--timeout", "-1s", "list"}, 2, "", "tether: --timeout must be more than 0\ntether -h tells more\n"},
	} {
		if code, stdout, stderr := call(t, c.args...); code != c.code || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%q: %d, %q, %q\nwant %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
	code, stdout, stderr := call(t, "list")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "guestinfo.vice./common/name = web\n") ||
		!strings.Contains(stdout, `guestinfo.vice./hostname = "two\nlines"`+"\n") || !strings.Contains(stdout, user+" = (secret)\n") || strings.Contains(stdout, "secret-word") {
		t.Errorf("list: %d, %s, %s", code, stdout, stderr)
	}
	if code, _, usage := call(t, "-h"); code != 0 || !strings.Contains(usage, "tether rpc TEXT") || !strings.Contains(usage, channelVariable) {
		t.Errorf("-h: %d, %s", code, usage)
	}
	if code, _, usage := call(t, "rpc"); code != 1 || !strings.Contains(usage, "tether rpc TEXT") {
		t.Errorf("rpc: %d, %s", code, usage)
	}
	t.Setenv(channelVariable, "")
	if code, _, stderr := call(t, "list"); code != 1 || stderr != "tether: no way to the server: no such virtio-serial port: vmexecutor.tether.0; --channel names another\n" {
		t.Errorf("without a channel: %d, %s", code, stderr)
	}
}

// A server that does not answer is told of in time.
func TestTimeout(t *testing.T) {
	dir, err := os.MkdirTemp("", "tether")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := "unix:" + l.Addr().String()
	if code, _, stderr := call(t, "--channel", address, "--timeout", "50ms", "list"); code != 1 || stderr != "tether: "+address+": no answer within 50ms\n" {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestWatch(t *testing.T) {
	h := start(t)
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	var errs bytes.Buffer
	ended := make(chan int)
	go func() {
		code := (&tether{stdout: w, stderr: &errs}).run(ctx, []string{"watch"})
		_ = w.Close()
		ended <- code
	}()
	lines := bufio.NewScanner(r)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("the end: %v, %s", lines.Err(), errs.String())
		}
		return lines.Text()
	}
	for range h.keys {
		next()
	}
	changed := web(t)
	changed.Hostname, changed.Domainname = "one", "example"
	for key := range changed.Mounts {
		delete(changed.Mounts, key)
	}
	h.assert(t, changed)
	h.server.Changed(9)
	got := map[string]bool{}
	for last := ""; last != "guestinfo.vice./mounts|data/source/User@secret deleted"; got[last] = true {
		last = next()
	}
	if !got["guestinfo.vice./domainname = example"] || !got["guestinfo.vice./hostname = one"] || got["guestinfo.vice./common/name = web"] {
		t.Errorf("got %v", got)
	}
	stop()
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if code := <-ended; code != 0 || errs.String() != "" {
		t.Errorf("%d, %s", code, errs.String())
	}
}

// Software that calls vmware-rpctool gets the tether by a link of that name.
func TestLinkedAsRpctool(t *testing.T) {
	start(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "tether")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	link := filepath.Join(dir, "vmware-rpctool")
	if err := os.Symlink(binary, link); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), link, "info-get guestinfo.vice./common/name").Output()
	if err != nil || string(out) != "web\n" {
		t.Errorf("%q, %v", out, err)
	}
	out, err = exec.CommandContext(t.Context(), link, "info-get guestinfo.nothing").CombinedOutput()
	if err == nil || string(out) != "No value found\n" {
		t.Errorf("%q, %v", out, err)
	}
}
