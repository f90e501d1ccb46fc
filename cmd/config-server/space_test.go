package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startOnDisk runs a server for which a directory is a disk that ends: in a mount namespace of its own, which anybody may make.
func startOnDisk(t *testing.T, disk, size, dataDir string, args ...string) *server {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "server")
	script := fmt.Sprintf("#!/bin/sh\nmount -t tmpfs -o size=%s none %s && exec %s \"$@\"\n", size, disk, binary)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return startCommand(t, exec.Command(wrapper), &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}, dataDir, nil, args...)
}

// TestDiskFull gives the server a disk of a few MiB: what has no room is refused with 507, reading goes on, nothing is lost, and with room
// again all is well without a restart.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	s := startOnDisk(t, disk, "8m", filepath.Join(disk, "data"))
	ballast := fmt.Sprintf("/proc/%d/root%s/ballast", s.cmd.Process.Pid, disk)
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	large := fmt.Sprintf(`{"notes": %q}`, strings.Repeat("n", 60_000))
	written := 0
	for {
		a := s.do("PUT", fmt.Sprintf("/v1/executors/x%d", written), large)
		if a.status == http.StatusInsufficientStorage {
			if text := string(a.body); !strings.Contains(text, "no room") || strings.Contains(text, disk) {
				t.Errorf("the problem says %s", text)
			}
			break
		}
		if a.status != http.StatusCreated {
			t.Fatalf("%d %.1000s", a.status, a.body)
		}
		written++
	}
	count := func() int {
		var list struct{ Items []struct{ ID, Notes string } }
		s.expect(200, "GET", "/v1/executors", "", &list)
		for _, item := range list.Items {
			if len(item.Notes) != 60_000 {
				t.Errorf("%s has %d bytes of notes", item.ID, len(item.Notes))
			}
		}
		return len(list.Items)
	}
	if n := count(); n != written || written < 5 {
		t.Errorf("there are %d executors of %d", n, written)
	}
	s.expect(200, "GET", "/readyz", "", nil)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	const more = 8
	for i := range more {
		s.expect(201, "PUT", fmt.Sprintf("/v1/executors/more%d", i), large, nil)
	}
	if n := count(); n != written+more {
		t.Errorf("there are %d executors of %d", n, written+more)
	}
	s.terminate()
}
