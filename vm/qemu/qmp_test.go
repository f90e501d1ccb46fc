package qemu_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/vm"
)

// monitor says what QEMU's does. That QEMU says so is seen by TestSystemQMP, which has one; this one comes into states that are
// hard to bring a VM into.
type monitor struct {
	listener net.Listener

	mu     sync.Mutex
	status string
	conn   net.Conn
}

func newMonitor(t *testing.T, path, status string) *monitor {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	m := &monitor{listener: l, status: status}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.serve(conn)
		}
	}()
	return m
}

func (m *monitor) serve(conn net.Conn) {
	defer conn.Close()
	m.say(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
	for scan := bufio.NewScanner(conn); scan.Scan(); {
		m.mu.Lock()
		m.conn = conn
		m.mu.Unlock()
		if strings.Contains(scan.Text(), "query-status") {
			m.say(conn, fmt.Sprintf(`{"return": {"status": %q, "running": true}}`, m.now()))
		} else {
			m.say(conn, `{"return": {}}`)
		}
	}
}

func (m *monitor) now() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

func (m *monitor) say(conn net.Conn, line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }

// turn brings the VM into a state, and tells of it.
func (m *monitor) turn(status string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = status
	m.say(m.conn, `{"timestamp": {"seconds": 1}, "event": "STOP"}`)
}

// TestQMP: the power is what the monitor says; events make the driver ask, and who does not listen is off.
func TestQMP(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(f.dir, "qmp")
	a := f.attachment("vm")
	a.Ref = "vm?qmp=" + path
	must(t, f.Attach(t.Context(), "vm", a))
	power := func(want vm.Power) {
		t.Helper()
		f.state(t, "vm", "QMP says "+string(want), func(s vm.State) bool { return s.Power == want })
	}
	power(vm.PowerOff) // there is no such socket
	m := newMonitor(t, path, "running")
	power(vm.PowerOn)
	for _, turn := range []struct {
		status string
		power  vm.Power
	}{{"paused", vm.PowerSuspended}, {"running", vm.PowerOn}, {"shutdown", vm.PowerOff}, {"running", vm.PowerOn}, {"guest-panicked", vm.PowerUnknown}} {
		m.turn(turn.status)
		power(turn.power)
	}
	g := boot(t, f.Driver, "vm")
	power(vm.PowerOn) // a guest that is connected tells more than a monitor that has no word for it
	m.turn("paused")
	power(vm.PowerSuspended)
	must(t, m.listener.Close())
	must(t, m.conn.Close())
	power(vm.PowerOn) // the guest is still connected
	must(t, g.client.Close())
	power(vm.PowerOff)
}
