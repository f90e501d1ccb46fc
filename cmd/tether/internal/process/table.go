//go:build linux

package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Table knows the processes that run.
type Table struct {
	mu      sync.Mutex
	running map[int]*Process
	idle    chan struct{} // closed when nothing runs, if somebody waits for that
}

// NewTable begins to take the exits of all children, until the process ends.
func NewTable() *Table {
	t := &Table{running: map[int]*Process{}}
	ended := make(chan os.Signal, 1) // one that waits stands for any number
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			t.reap()
		}
	}()
	return t
}

// fork starts a process. The table is locked meanwhile: its exit must not be taken before it is known.
func (t *Table) fork(path string, args []string, attr *os.ProcAttr, stdin *os.File) (*Process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	started, err := os.StartProcess(path, args, attr)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: started.Pid, Started: time.Now(), table: t, exit: make(chan Exit, 1), stdin: stdin}
	t.running[p.PID] = p
	return p, started.Release() // the exit is taken here, for all
}

// signal sends to a process, or the group of a process, while it is certain that this is still the one.
func (t *Table) signal(pid, target int, sig syscall.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running[pid] == nil {
		return nil
	}
	return syscall.Kill(target, sig)
}

// End asks all that run to end, kills those that have not after a while, and takes their exits.
func (t *Table) End(limit time.Duration) {
	t.all(func(pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) })
	gone := t.none()
	select {
	case <-gone:
		return
	case <-time.After(limit):
	}
	t.all(func(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	<-gone
}

func (t *Table) all(do func(pid int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for pid := range t.running {
		do(pid)
	}
}

// none is closed once nothing runs.
func (t *Table) none() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := make(chan struct{})
	t.idle = idle
	t.tell()
	return idle
}

// tell is for when the table is locked.
func (t *Table) tell() {
	if t.idle != nil && len(t.running) == 0 {
		close(t.idle)
		t.idle = nil
	}
}

// reap takes the exits that there are.
func (t *Table) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.tell()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		p := t.running[pid]
		if p == nil {
			continue // an orphan
		}
		delete(t.running, pid)
		if p.stdin != nil {
			p.stdin.Close()
		}
		p.exit <- exit(status, time.Now())
	}
}

func exit(status syscall.WaitStatus, now time.Time) Exit {
	if status.Signaled() {
		return Exit{Status: 128 + int(status.Signal()), Signal: unix.SignalName(status.Signal()), Time: now}
	}
	return Exit{Status: status.ExitStatus(), Time: now}
}
