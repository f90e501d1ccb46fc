//go:build linux && system

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/cmd/internal/initramfs"
	"github.com/vmexecutor/config-server/cmd/internal/qemu"
	"github.com/vmexecutor/config-server/models"
)

// The binaries, built once for all tests.
var server, tether string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "demo-vm")
	if err != nil {
		panic(err)
	}
	server, tether = filepath.Join(dir, "config-server"), filepath.Join(dir, "tether")
	if out, err := exec.Command("go", "build", "-o", server, "../config-server").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the server: %v\n%s", err, out))
	}
	if err := initramfs.BuildTether(context.Background(), tether); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func TestSystemDemo(t *testing.T) {
	if err := run(t.Context(), server, tether); err != nil {
		t.Error(err)
	}
}

// bench is a site with its VMs.
type bench struct {
	*testing.T
	*site
	ctx context.Context
}

func newBench(t *testing.T) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	t.Cleanup(cancel)
	s, err := newSite(server, tether)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, s, ctx}
	b.must(s.serve(ctx))
	t.Cleanup(func() {
		if err := s.server.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server logged:\n%s", s.server.Log())
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// start boots the VM of an executor.
func (b *bench) start(id string, o qemu.Options) *qemu.VM {
	b.Helper()
	vm, err := b.boot(b.ctx, id, o)
	b.must(err)
	b.Cleanup(func() {
		vm.Kill()
		if b.Failed() {
			b.Logf("the console of %s:\n%s", id, vm.Console)
		}
	})
	return vm
}

func (b *bench) sees(vm *qemu.VM, pattern string) []string {
	b.Helper()
	match, err := vm.Console.Await(b.ctx, pattern)
	b.must(err)
	return match
}

func (b *bench) becomes(id string, is func(*models.Executor) bool) *models.Executor {
	b.Helper()
	e, err := b.await(b.ctx, id, is)
	b.must(err)
	return e
}

// heard wants that the feed told of what a guest reported.
func (b *bench) heard(id string, want map[string]string) {
	b.Helper()
	for e, err := range b.api.Watch(b.ctx, apiclient.WatchOptions{Since: new(uint64), Executors: []string{id}}) {
		if err != nil {
			b.Fatalf("the feed did not tell %v: %v", want, err)
		}
		for path, value := range want {
			if e.Action == models.EventActionReport && e.Values[path] == value {
				delete(want, path)
			}
		}
		if len(want) == 0 {
			return
		}
	}
}

// runs a command in the VM and wants its exit code.
func (b *bench) runs(id, name, script string, want int64) {
	b.Helper()
	s, err := b.exec(b.ctx, id, name, script)
	b.must(err)
	if s.Started != "true" || s.ExitStatus != want {
		b.Errorf("%s: %+v, want the exit status %d", name, s, want)
	}
}

const secret = "s3cret-of-the-mount"

// TestSystemLife follows one executor through all that happens to servers and VMs.
func TestSystemLife(t *testing.T) {
	b := newBench(t)
	main := &models.Session{Active: true, Cmd: &models.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "echo up as $(hostname); exec sleep 1000000"}}}
	b.must(b.create(b.ctx, &models.Executor{
		ID: "life", Hostname: "first", Sessions: map[string]*models.Session{"main": main},
		// There is no such server: the mount fails, which takes nothing else down.
		Mounts: map[string]*models.Mount{"share": {Source: "nfs://user:" + secret + "@127.0.0.1/export", Path: "/mnt"}},
	}))
	began := time.Now()
	vm := b.start("life", qemu.Options{Reboots: true})
	b.sees(vm, `^\[main\] up as first$`)
	e := b.becomes("life", func(e *models.Executor) bool { return runs(e.Sessions["main"]) })
	t.Logf("figures: started was reported %.1f s after the start of QEMU", time.Since(began).Seconds())
	if logs := e.Diagnostics.ExitLogs; len(logs) != 1 || !strings.Contains(logs[0].Message, "attach a mount (share): nfs://127.0.0.1/export at /mnt") {
		t.Errorf("the mount that failed: %+v", logs)
	}

	// An exec runs, and its exit code is waited for.
	b.runs("life", "once", "echo once >> /run/ran; exit 42", 42)
	b.runs("life", "memory", "grep -e VmRSS -e VmHWM /proc/1/status", 0)
	t.Logf("figures: the memory of the agent: %s", b.sees(vm, `^\[memory\] (VmHWM.*)\n\[memory\] (VmRSS.*)$`)[1:])
	for i := range 5 {
		began := time.Now()
		b.must(b.patch(b.ctx, "life", map[string]any{"hostname": fmt.Sprint("name-", i)}))
		answered := time.Now()
		b.sees(vm, strings.Repeat(`(?s:.*)do="set the hostname"`, i+2))
		t.Logf("figures: PATCH was answered after %.0f ms, and seen on the console %.0f ms later", answered.Sub(began).Seconds()*1000, time.Since(answered).Seconds()*1000)
	}
	b.expectNoSecret(vm)

	// The server dies while the guest runs, and comes back: the guest goes on, and no exec ends.
	b.must(b.patch(b.ctx, "life", map[string]any{"execs": map[string]any{"long": map[string]any{
		"active": true, "cmd": map[string]any{"path": "/bin/sh", "args": []string{"sh", "-c", "while [ ! -e /run/go ]; do sleep 0.1; done; exit 9"}}}}}))
	b.becomes("life", func(e *models.Executor) bool { return runs(e.Execs["long"]) })
	b.server.Kill()
	if strings.Contains(b.server.Log(), secret) {
		t.Error("the server's log has the secret")
	}
	b.must(b.serve(b.ctx))
	b.runs("life", "after", "touch /run/go; cat /run/ran; exit $(wc -l < /run/ran)", 1) // once did not run again
	b.becomes("life", func(e *models.Executor) bool { return ended(e.Execs["long"]) && e.Execs["long"].ExitStatus == 9 })

	// The guest reboots: its session runs again, and no exec of the boot before.
	ups := strings.Count(vm.Console.String(), "[main] up as")
	b.must(b.patch(b.ctx, "life", map[string]any{"execs": map[string]any{"reboot": map[string]any{
		"active": true, "cmd": map[string]any{"path": "/bin/busybox", "args": []string{"busybox", "kill", "-TERM", "1"}}}}}))
	b.sees(vm, strings.Repeat(`(?s:.*)^\[main\] up as`, ups+1))
	b.becomes("life", func(e *models.Executor) bool { return runs(e.Sessions["main"]) && ended(e.Execs["reboot"]) })
	b.runs("life", "second", "test -e /run/ran", 1)

	// QEMU dies, and is started again.
	vm.Kill()
	vm = b.start("life", qemu.Options{})
	b.sees(vm, `^\[main\] up as name-4$`)
	b.becomes("life", func(e *models.Executor) bool { return runs(e.Sessions["main"]) })
	b.runs("life", "third", "test -e /run/ran", 1)
	if console := vm.Console.String(); strings.Contains(console, "session=execs.once") || strings.Contains(console, "session=execs.second") {
		t.Error("an exec of an earlier boot came to the guest")
	}
	e = b.becomes("life", func(*models.Executor) bool { return true })
	for name, status := range map[string]int64{"once": 42, "after": 1, "second": 1, "long": 9} {
		if x := e.Execs[name]; !ended(x) || x.ExitStatus != status {
			t.Errorf("%s, which ran in an earlier boot, is %+v", name, x)
		}
	}
	b.heard("life", map[string]string{"sessions.main.started": "true", "execs.once.exitStatus": "42", "execs.long.exitStatus": "9"})
	b.expectNoSecret(vm)
}

// expectNoSecret looks where everybody on the machine can: at the command lines, and at what the guest wrote.
func (b *bench) expectNoSecret(vm *qemu.VM) {
	b.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	b.must(err)
	lines := 0
	for _, file := range append(files, fmt.Sprintf("/proc/%d/cmdline", vm.PID()), fmt.Sprintf("/proc/%d/cmdline", b.server.PID())) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		lines++
		if strings.Contains(string(text), secret) {
			b.Errorf("%s shows the secret: %q", file, text)
		}
	}
	if lines < 2 {
		b.Errorf("only %d command lines were seen", lines)
	}
	if strings.Contains(vm.Console.String(), secret) {
		b.Error("the guest's console shows the secret")
	}
}

// TestSystemTwoVMs: two VMs on one container network reach each other at the addresses that they were given, and a change of the
// network arrives in both.
func TestSystemTwoVMs(t *testing.T) {
	b := newBench(t)
	front := &models.Network{Name: "front", Gateway: "10.1.0.1/16", Nameservers: []string{"10.1.0.53"}}
	_, err := b.api.Networks.CreateNetworkContext(b.ctx, networks.NewCreateNetworkParams().WithBody(front))
	b.must(err)
	port := freePort(t)
	vms := map[string]*qemu.VM{}
	for i, id := range []string{"one", "two"} {
		b.must(b.create(b.ctx, &models.Executor{
			ID: id, Hostname: id,
			Sessions: map[string]*models.Session{"www": {Active: true, Cmd: &models.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "mkdir -p /www; echo page of " + id + " > /www/index.html; exec busybox httpd -f -p 80 -h /www"}}}},
			Networks: map[string]*models.Endpoint{"front": {ID: "7", NetworkRef: "front", Static: true, IP: fmt.Sprintf("10.1.0.%d/16", i+2)}},
		}))
		vms[id] = b.start(id, qemu.Options{NICs: []qemu.NIC{{
			Slot: 7, MAC: fmt.Sprintf("52:54:00:00:00:%02x", i+1),
			Backend: fmt.Sprintf("socket,%s=127.0.0.1:%d", []string{"listen", "connect"}[i], port),
		}}})
		if i == 0 {
			b.becomes(id, func(e *models.Executor) bool { return runs(e.Sessions["www"]) }) // it listens by now
		}
	}
	for id, vm := range vms {
		e := b.becomes(id, func(e *models.Executor) bool { return runs(e.Sessions["www"]) && e.Networks["front"].Assigned != "" })
		if got := e.Networks["front"]; got.Assigned != got.IP {
			t.Errorf("%s was assigned %s", id, got.Assigned)
		}
		b.sees(vm, `msg="a session runs" session=sessions.www`)
		b.heard(id, map[string]string{"networks.front.assigned": e.Networks["front"].IP, "sessions.www.started": "true"})
	}
	// (Debian's static busybox has a wget that crashes.)
	get := `until printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 20 %s 80 | grep page; do sleep 1; done`
	b.runs("one", "get", fmt.Sprintf(get, "10.1.0.3"), 0)
	b.sees(vms["one"], `^\[get\] page of two$`)
	b.runs("two", "get", fmt.Sprintf(get, "10.1.0.2"), 0)
	b.sees(vms["two"], `^\[get\] page of one$`)

	body, err := apiclient.MergePatch(map[string]any{"nameservers": []string{"10.1.0.99", "10.1.0.98"}})
	b.must(err)
	_, err = b.api.Networks.PatchNetworkContext(b.ctx, networks.NewPatchNetworkParams().WithName("front").WithBody(body))
	b.must(err)
	for id, vm := range vms {
		b.sees(vm, `do="set the nameservers"(?s:.*)do="set the nameservers"`)
		b.runs(id, "names", "tr '\\n' ' ' < /etc/resolv.conf; echo", 0)
		b.sees(vm, `^\[names\] nameserver 10.1.0.99 nameserver 10.1.0.98 $`)
	}
}

// freePort gives a port that nobody has, for the VMs to meet at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
