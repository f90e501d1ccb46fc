package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// output runs the command and gives what it printed, and its exit code.
func output(t *testing.T, args ...string) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	code := run(t.Context(), args)
	os.Stdout = stdout
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), code
}

func TestSimctl(t *testing.T) {
	sim, err := simulator.Start(t.Context(), simulator.Options{Listen: "127.0.0.1:0", VMs: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sim.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("SIMULATOR_URL", sim.URL().String())
	for _, step := range []struct {
		args string
		code int
		out  string // a part of it
	}{
		{"guest list vm1", 0, "guestinfo.metadata = instance-id: vm1\n"},
		{"guest set vm1 guestinfo.vice..started true", 0, ""},
		{"guest get vm1 guestinfo.vice..started", 0, "true\n"},
		{"guest get vm1 GUESTINFO.vice..STARTED", 0, "true\n"},
		{"guest get vm2 guestinfo.vice..started", 1, ""},
		{"guest set vm1 guestinfo.vice./common/id 1", 1, ""}, // a guest cannot
		{"guest set vm1 common/id 1", 1, ""},
		{"guest get vm1 disk.enableUUID", 1, ""},
		{"power off vm1", 0, ""},
		{"power off vm1", 1, ""},
		{"guest list vm1", 1, ""}, // no guest runs
		{"power on vm1", 0, ""},
		{"guest get vm1 guestinfo.vice..started", 1, ""}, // it was volatile
		{"power suspend /DC0/vm/vm2", 0, ""},
		{"power on vm2", 0, ""},
		{"power reset vm2", 0, ""},
		{"power burn vm2", 1, ""},
		{"power on vm9", 1, ""},
		{"power on", 2, ""},
		{"guest", 2, ""},
		{"guest list vm1 vm2", 2, ""},
		{"--help", 0, "guest"},
		{"--url http://127.0.0.1:1/sdk power on vm1", 1, ""},
	} {
		out, code := output(t, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out, step.out) {
			t.Errorf("simctl %s: code %d, printed %q; want code %d, %q", step.args, code, out, step.code, step.out)
		}
	}
	if _, code := output(t, "guest", "set", "vm1", "guestinfo.lines", "a\nb"); code != 0 {
		t.Errorf("code %d", code)
	}
	if out, _ := output(t, "guest", "list", "vm1"); !strings.Contains(out, `guestinfo.lines = "a\nb"`) {
		t.Errorf("printed %q", out)
	}
}
