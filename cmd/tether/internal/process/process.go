//go:build linux

// Package process runs the processes of sessions, and waits for all children: those that it started, and, for the
// first process of a system, those that were left to it. It is for the guest agent alone, and for one user of it in
// a process, because it takes every child's exit.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// Spec says what to run.
type Spec struct {
	Path        string   // of the file; one without a slash is looked for in PATH
	Args        []string // with the program's own name; none means Path alone
	Env         []string // NAME=value; PATH, HOME and, with a terminal, TERM have defaults
	Dir         string   // empty is /
	User, Group string   // by name or number; empty is root, or the user's own group
	Tty         bool     // on a terminal
	OpenStdin   bool     // standard input stays open, without anything to read; otherwise it is empty
}

// searched is where programs are, when a session does not say.
const searched = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Process is one that was started.
type Process struct {
	PID     int
	Started time.Time

	table *Table
	exit  chan Exit
	stdin *os.File // held open, when it is to stay open
}

// Exit is how a process ended.
type Exit struct {
	Status int // the exit code, or 128 and the number of the signal, as a shell has it
	Signal string
	Time   time.Time
}

// Exited gives the exit, once.
func (p *Process) Exited() <-chan Exit { return p.exit }

// Signal sends a signal to the process, if it still runs.
func (p *Process) Signal(sig syscall.Signal) error { return p.table.signal(p.PID, p.PID, sig) }

// Kill ends the process and all others of its session, if it still runs.
func (p *Process) Kill() error { return p.table.signal(p.PID, -p.PID, syscall.SIGKILL) }

// Start starts a process in a session of its own. What it writes goes to out, which is
// closed when the last process that could write to it has ended. The error says why it does not run.
func (t *Table) Start(spec Spec, out io.WriteCloser) (*Process, error) {
	p, err := t.start(spec, out)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return p, nil
}

func (t *Table) start(spec Spec, out io.WriteCloser) (*Process, error) {
	who, err := lookUp(spec.User, spec.Group)
	if err != nil {
		return nil, err
	}
	env := environment(spec, who.home)
	path, err := find(spec.Path, env)
	if err != nil {
		return nil, err
	}
	dir := spec.Dir
	if dir == "" {
		dir = "/"
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("working directory: %s is not a directory", dir)
	}
	args := spec.Args
	if len(args) == 0 {
		args = []string{spec.Path}
	}
	s, err := open(spec)
	if err != nil {
		return nil, err
	}
	defer s.closeTheirs()
	attr := &os.ProcAttr{Dir: dir, Env: env, Files: s.theirs, Sys: &syscall.SysProcAttr{Setsid: true, Setctty: spec.Tty, Credential: who.credential}}
	p, err := t.fork(path, args, attr, s.stdin)
	if err != nil {
		s.closeOurs()
		return nil, err
	}
	go func() {
		_, _ = io.Copy(out, s.output) // a terminal whose last user is gone gives an error in place of an end
		s.output.Close()
		_ = out.Close()
	}()
	return p, nil
}

// streams are what a process reads and writes.
type streams struct {
	theirs []*os.File
	output *os.File // what they write
	stdin  *os.File // the other end of what they read, if there is one
}

func open(spec Spec) (streams, error) {
	if spec.Tty {
		ours, tty, err := pty.Open()
		if err != nil {
			return streams{}, fmt.Errorf("open a terminal: %w", err)
		}
		_ = pty.Setsize(ours, &pty.Winsize{Rows: 24, Cols: 80}) // what it is otherwise is no size at all
		return streams{theirs: []*os.File{tty, tty, tty}, output: ours}, nil
	}
	output, theirs, err := os.Pipe()
	if err != nil {
		return streams{}, fmt.Errorf("open the output: %w", err)
	}
	s := streams{output: output, theirs: []*os.File{nil, theirs, theirs}}
	if spec.OpenStdin {
		s.theirs[0], s.stdin, err = os.Pipe()
	} else {
		s.theirs[0], err = os.Open(os.DevNull)
	}
	if err != nil {
		output.Close()
		theirs.Close()
		return streams{}, fmt.Errorf("open the input: %w", err)
	}
	return s, nil
}

func (s streams) closeTheirs() {
	s.theirs[0].Close()
	if s.theirs[1] != s.theirs[0] {
		s.theirs[1].Close()
	}
}

func (s streams) closeOurs() {
	s.output.Close()
	if s.stdin != nil {
		s.stdin.Close()
	}
}

// environment is the session's own, with what no program should have to do without.
func environment(spec Spec, home string) []string {
	env := append([]string(nil), spec.Env...)
	add := func(name, value string) {
		if _, ok := lookEnv(env, name); !ok {
			env = append(env, name+"="+value)
		}
	}
	add("PATH", searched)
	add("HOME", home)
	if spec.Tty {
		add("TERM", "xterm")
	}
	return env
}

// lookEnv finds a variable; of several the last counts.
func lookEnv(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// find looks for a program where the session would. Whether it can be run is for the kernel to say.
func find(path string, env []string) (string, error) {
	if path == "" {
		return "", errors.New("no path is given")
	}
	if strings.Contains(path, "/") {
		return path, nil
	}
	dirs, _ := lookEnv(env, "PATH")
	for _, dir := range filepath.SplitList(dirs) {
		file := filepath.Join("/", dir, path)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: not found in %s", path, dirs)
}
