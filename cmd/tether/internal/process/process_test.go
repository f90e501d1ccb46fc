//go:build linux

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// table is the only one: it takes the exits of all children of the test.
var table = sync.OnceValue(NewTable)

// output keeps what a process wrote, and knows when there will be no more.
type output struct {
	text  bytes.Buffer
	wrote chan struct{} // closed by the first write
	done  chan struct{}
}

func newOutput() *output { return &output{wrote: make(chan struct{}), done: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	if o.text.Len() == 0 {
		close(o.wrote)
	}
	return o.text.Write(p)
}

func (o *output) Close() error { close(o.done); return nil }

// run runs a process to its end.
func run(t *testing.T, spec Spec) (Exit, string) {
	t.Helper()
	out := newOutput()
	p, err := table().Start(spec, out)
	if err != nil {
		t.Fatal(err)
	}
	exit := <-p.Exited()
	<-out.done
	return exit, out.text.String()
}

func shell(script string) Spec { return Spec{Path: "sh", Args: []string{"sh", "-c", script}} }

func TestExits(t *testing.T) {
	for script, want := range map[string]Exit{
		"exit 0":        {Status: 0},
		"exit 3":        {Status: 3},
		"kill -KILL $$": {Status: 137, Signal: "SIGKILL"},
	} {
		exit, _ := run(t, shell(script))
		if exit.Status != want.Status || exit.Signal != want.Signal || exit.Time.IsZero() {
			t.Errorf("%s: %+v", script, exit)
		}
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	spec := shell(`echo "$PWD|$0|$A|$HOME|$PATH|$TERM"; echo wrong >&2; cat`)
	spec.Args[0], spec.Dir, spec.Env = "sh", dir, []string{"A=1", "A=2", "HOME=/x"}
	spec.Args = append(spec.Args, "zero")
	_, out := run(t, spec)
	if want := dir + "|zero|2|/x|" + searched + "|dumb\nwrong\n"; out != want && out != strings.Replace(want, "dumb", "", 1) {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestTerminal(t *testing.T) {
	spec := shell("test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM")
	spec.Tty = true
	if exit, out := run(t, spec); exit.Status != 0 || out != "24 80\r\nxterm\r\n" {
		t.Errorf("%+v %q", exit, out)
	}
}

// TestOpenStdin: the process waits for input until it is told to stop.
func TestOpenStdin(t *testing.T) {
	out := newOutput()
	p, err := table().Start(Spec{Path: "cat", OpenStdin: true}, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := <-p.Exited(); exit.Signal != "SIGTERM" {
		t.Errorf("%+v", exit)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after the end: %v", err)
	}
	<-out.done
}

// TestKill: the whole session ends, also what the process left behind in its group.
func TestKill(t *testing.T) {
	out := newOutput()
	p, err := table().Start(shell("trap '' TERM; cat /dev/zero >/dev/null & echo ready; wait"), out)
	if err != nil {
		t.Fatal(err)
	}
	<-out.wrote
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := <-p.Exited(); exit.Status != 137 {
		t.Errorf("%+v", exit)
	}
	<-out.done // the other one had the same output
}

func TestWhyNot(t *testing.T) {
	file := t.TempDir() + "/plain"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		spec Spec
		says string
	}{
		{Spec{}, "no path"},
		{Spec{Path: "/no/such"}, "no such file"},
		{Spec{Path: "nosuch"}, "nosuch: not found in /usr/local/sbin:"},
		{Spec{Path: "sh", Env: []string{"PATH=/empty"}}, "not found in /empty"},
		{Spec{Path: file}, "permission denied"},
		{Spec{Path: "sh", Dir: "/no/such"}, "working directory: stat /no/such"},
		{Spec{Path: "sh", Dir: file}, "is not a directory"},
		{Spec{Path: "sh", User: "nosuch"}, `user "nosuch"`},
		{Spec{Path: "sh", Group: "nosuch"}, `group "nosuch"`},
	} {
		out := newOutput()
		if _, err := table().Start(tc.spec, out); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v, want %q", tc.spec, err, tc.says)
		}
		<-out.done
	}
}

// TestIdentity: numbers need no entry in the lists, names have their own group.
func TestIdentity(t *testing.T) {
	for _, tc := range []struct {
		user, group string
		uid, gid    uint32
	}{
		{"4711", "", 4711, 0}, {"4711", "42", 4711, 42}, {"", "42", 0, 42}, {"root", "", 0, 0},
	} {
		who, err := lookUp(tc.user, tc.group)
		if err != nil || who.credential == nil || who.credential.Uid != tc.uid || who.credential.Gid != tc.gid || who.home == "" {
			t.Errorf("%q %q: %+v %v", tc.user, tc.group, who, err)
		}
	}
}

// TestManyExits: every exit comes to the one it belongs to, however many there are at once.
func TestManyExits(t *testing.T) {
	var all []*Process
	for i := range 50 {
		p, err := table().Start(shell(fmt.Sprintf("exit %d", i)), newOutput())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for i, p := range all {
		if exit := <-p.Exited(); exit.Status != i {
			t.Errorf("process %d: %+v", i, exit)
		}
	}
}

func TestSignals(t *testing.T) {
	for s, want := range map[string]syscall.Signal{
		"": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "quit": syscall.SIGQUIT, "9": syscall.SIGKILL, "0": 0, "SIGNONE": 0, "-1": 0,
	} {
		if got, err := ParseSignal(s); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
}

func TestLines(t *testing.T) {
	var text bytes.Buffer
	c := NewConsole(&text)
	a, b := c.Session("a"), c.Session("b")
	for _, step := range []struct {
		to   interface{ Write([]byte) (int, error) }
		text string
	}{{a, "one\ntw"}, {b, "other\r\n"}, {a, "o\n\n"}, {b, "rest"}, {a, strings.Repeat("x", longest+1)}} {
		if _, err := step.to.Write([]byte(step.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Close(), b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	want := []string{"[a] one", "[b] other", "[a] two", "[a] ", "[a] " + strings.Repeat("x", longest), "[a] x", "[b] rest", ""}
	if got := strings.Split(text.String(), "\n"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
