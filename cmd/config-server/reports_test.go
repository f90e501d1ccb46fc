package main

import (
	"testing"
	"time"
)

// TestReports: what a guest says reaches the store, also when it said it while there was no server, and is not lost when the VM is
// switched off, which may bring older values back.
func TestReports(t *testing.T) { onEach(t, reports) }

func reports(t *testing.T, h hypervisor) {
	site, dir := newSite(t, h, 1), t.TempDir()
	vm, now := site.machine("vm1"), time.Now().Truncate(time.Second)
	others := vm.keys()
	s := site.start(dir)
	var main struct {
		Started    string
		ExitStatus int
		Detail     struct{ StopTime time.Time }
	}
	expect := func(when, started string, exitStatus int, stopped time.Time) {
		t.Helper()
		if st := s.push("web"); st.State != "synced" {
			t.Fatalf("%s: %+v", when, st)
		}
		main.Started, main.ExitStatus, main.Detail.StopTime = "", 0, time.Time{}
		s.expect(200, "GET", "/v1/executors/web/sessions/main", "", &main)
		if main.Started != started || main.ExitStatus != exitStatus || !main.Detail.StopTime.Equal(stopped) {
			t.Errorf("%s: the store has %+v, want %q, %d, %s", when, main, started, exitStatus, stopped)
		}
		site.expectHeld("vm1", others, s.keys("web", "all"))
		if t.Failed() {
			t.FailNow()
		}
	}

	s.expect(201, "POST", "/v1/executors", `{"id": "web", "hostname": "web", "sessions": {"main": {}}, "vm": {"driver": "vsphere", "ref": "vm1"}}`, nil)
	expect("before it ran", "", 0, time.Time{})
	vm.starts("sessions|main", now)
	expect("once it runs", "true", 0, time.Time{})
	s.kill()

	vm.exits("sessions|main", 3, now)
	site.set("vm1", map[string]string{"guestinfo.vice./hostname": "drift"})
	s = site.start(dir)
	expect("ended while there was no server", "true", 3, now)

	vm.powerOff()
	expect("switched off", "true", 3, now)
	vm.powerOn()
	expect("switched on again", "true", 3, now)
	s.terminate()
	vm.powerOff()
	vm.powerOn()
	s = site.start(dir)
	expect("off and on again while there was no server", "true", 3, now)

	s.expect(204, "DELETE", "/v1/executors/web/vm", "", nil)
	site.awaitClean("vm1", others)
	s.terminate()
}
