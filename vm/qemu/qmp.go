package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

const (
	qmpPause = 2 * time.Second  // between two tries to reach a monitor
	qmpLimit = 10 * time.Second // for a monitor to answer
	qmpLine  = 1 << 20          // the longest message that is read, in bytes
)

// followQMP keeps in mind what QEMU says of the VM's power, until the VM is detached. A socket that nobody listens on means that
// the VM is off; everything else that goes wrong means that nothing is known.
func (m *machine) followQMP(path string) {
	for {
		err := followQMP(m.ctx, path, m.seen)
		if m.ctx.Err() != nil {
			return
		}
		power := vm.PowerUnknown
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			power = vm.PowerOff
		}
		m.seen(power)
		m.driver.o.Logger.Debug("no QMP", "executor", m.executor, "error", err)
		select {
		case <-m.ctx.Done():
			return
		case <-m.kick:
		case <-time.After(qmpPause):
		}
	}
}

// qmpMessage is what a monitor says: a greeting, an event, or an answer.
type qmpMessage struct {
	QMP    json.RawMessage               `json:"QMP"`
	Event  string                        `json:"event"`
	Return json.RawMessage               `json:"return"`
	Error  *struct{ Class, Desc string } `json:"error"`
}

// followQMP speaks QMP (QEMU Machine Protocol) over a unix socket, and tells of the power at first and after every event. The state
// is always asked for: events are hints. It returns when the connection is lost.
func followQMP(ctx context.Context, path string, seen func(vm.Power)) error {
	conn, err := (&net.Dialer{Timeout: qmpLimit}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := bufio.NewReaderSize(conn, 4<<10)
	events := 0
	// answer reads on to the next message that is not an event.
	answer := func() (msg qmpMessage, err error) {
		if err := conn.SetReadDeadline(time.Now().Add(qmpLimit)); err != nil {
			return msg, err
		}
		for {
			if msg, err = readQMP(lines); err != nil || msg.Event == "" {
				return msg, err
			}
			events++
		}
	}
	ask := func(command string) (json.RawMessage, error) {
		if err := conn.SetWriteDeadline(time.Now().Add(qmpLimit)); err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(conn, "{\"execute\": %q}\n", command); err != nil {
			return nil, err
		}
		msg, err := answer()
		switch {
		case err != nil:
			return nil, err
		case msg.Error != nil:
			return nil, fmt.Errorf("%s: %s", command, msg.Error.Class)
		}
		return msg.Return, nil
	}
	if msg, err := answer(); err != nil || msg.QMP == nil {
		return errors.Join(errors.New("no monitor greets"), err)
	}
	if _, err := ask("qmp_capabilities"); err != nil {
		return err
	}
	for {
		raw, err := ask("query-status")
		if err != nil {
			return err
		}
		var status struct{ Status string }
		if err := json.Unmarshal(raw, &status); err != nil {
			return err
		}
		seen(powerOf(status.Status))
		if events > 0 { // one came in between: what it tells of may be newer
			events = 0
			continue
		}
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if _, err := readQMP(lines); err != nil {
			return err
		}
	}
}

// readQMP reads one message of bounded length.
func readQMP(r *bufio.Reader) (msg qmpMessage, err error) {
	var line []byte
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return msg, err
		}
		if line = append(line, part...); len(line) > qmpLine {
			return msg, io.ErrShortBuffer
		}
		if !more {
			return msg, json.Unmarshal(line, &msg)
		}
	}
}

// powerOf translates a RunState of QEMU's qapi/run-state.json.
func powerOf(status string) vm.Power {
	switch status {
	case "running":
		return vm.PowerOn
	case "paused", "suspended", "io-error", "watchdog", "debug", "save-vm", "restore-vm", "finish-migrate", "inmigrate", "colo":
		return vm.PowerSuspended
	case "prelaunch", "shutdown", "postmigrate":
		return vm.PowerOff
	}
	return vm.PowerUnknown
}
