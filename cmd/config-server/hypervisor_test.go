package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// hypervisor is a vSphere outside of the server, as a vCenter is.
type hypervisor struct {
	name string
	// serve starts one that has so many VMs, of any names. Its URL says how to log in.
	serve func(t *testing.T, vms int) *url.URL
}

// hypervisors are what the end-to-end tests run on: our simulator, which is as strict as vCenter, and govmomi's own vcsim, which
// nobody here had a hand in. vcsim is more lenient: it takes any changeVersion, and keeps over a power-off what changed while the
// VM ran. No test allows for that: what they expect holds once a push has ended, and has to hold on both.
var hypervisors = []hypervisor{{"simulator", serveSimulator}, {"vcsim", serveVCSim}}

// onEach runs a test on each of them.
func onEach(t *testing.T, test func(t *testing.T, h hypervisor)) {
	for _, h := range hypervisors {
		t.Run(h.name, func(t *testing.T) { test(t, h) })
	}
}

func serveSimulator(t *testing.T, vms int) *url.URL {
	t.Helper()
	_, u := startSimulator(t, vms)
	return u
}

func startSimulator(t *testing.T, vms int) (*simulator.Simulator, *url.URL) {
	t.Helper()
	sim, err := simulator.Start(t.Context(), simulator.Options{Listen: "127.0.0.1:0", VMs: vms})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	u := sim.URL()
	u.User = url.UserPassword(simulator.Username, simulator.Password)
	return sim, u
}

// vcsim is govmomi's program, built when it is first asked for.
var vcsim = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(built, "vcsim")
	out, err := exec.Command("go", "-C", "../../tools", "build", "-o", path, "github.com/vmware/govmomi/vcsim").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build vcsim: %w\n%s", err, out)
	}
	return path, err
})

// serveVCSim runs it as a process of its own, over TLS. It ends when its standard input does, so that no test leaves one behind.
func serveVCSim(t *testing.T, vms int) *url.URL {
	t.Helper()
	path, err := vcsim()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-stdinexit", "-l", "127.0.0.1:0", "-username", "administrator", "-password", "a vcsim of ours",
		"-cluster", "0", "-standalone-host", "1", "-vm", fmt.Sprint(vms))
	var log strings.Builder
	cmd.Stderr = &log
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stdout)
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, said)
		if err := cmd.Wait(); err != nil {
			t.Error("vcsim:", err)
		}
		if t.Failed() {
			t.Logf("vcsim logged:\n%s", log.String())
		}
	})
	line, err := said.ReadString('\n') // export GOVC_URL=https://... GOVC_SIM_PID=...
	if err != nil {
		t.Fatal("vcsim ended early: ", err)
	}
	_, address, _ := strings.Cut(line, "GOVC_URL=")
	address, _, _ = strings.Cut(address, " GOVC_SIM_PID")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		t.Fatalf("vcsim says %q: %v", line, err)
	}
	return u
}
