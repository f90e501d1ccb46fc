//go:build linux

package agent

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/cmd/tether/internal/hosttest"
	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/guest"
)

// limit ends a test that waits for what never comes.
const limit = 2 * time.Minute

var table = sync.OnceValue(process.NewTable)

// life is an agent with a host to talk to.
type life struct {
	*testing.T
	*hosttest.Host
	ctx     context.Context
	socket  string
	console *console
	end     func() // ends the agent
}

// console is what sessions wrote.
type console struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{} // gets one when there is more
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.wrote <- struct{}{}:
	default:
	}
	return c.text.Write(p)
}

// shows waits until a text was written.
func (a *life) shows(text string) {
	a.Helper()
	for !strings.Contains(a.console.String(), text) {
		select {
		case <-a.console.wrote:
		case <-a.ctx.Done():
			a.Fatalf("the console does not show %q: %q", text, a.console)
		}
	}
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func begin(t *testing.T, config *executor.ExecutorConfig) *life {
	t.Helper()
	config.ID = "e"
	for id, s := range config.Sessions {
		s.ID = id
	}
	host, err := hosttest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	go host.Serve(ctx, l)
	a := &life{T: t, Host: host, ctx: ctx, socket: socket}
	a.start()
	t.Cleanup(func() { a.end() })
	return a
}

// start starts an agent; a second one is what a service manager starts after the first.
func (a *life) start() {
	a.Helper()
	a.console = &console{wrote: make(chan struct{}, 1)}
	open, err := guest.Address("unix:" + a.socket)
	if err != nil {
		a.Fatal(err)
	}
	ctx, stop := context.WithCancel(a.ctx)
	log := slog.New(slog.NewTextHandler(a.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	channel, err := guest.Open(ctx, open, guest.ClientOptions{Boot: "boot-1", Log: log})
	if err != nil {
		a.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Run(ctx, Options{Channel: channel, Table: table(), Console: a.console, Log: log})
	}()
	a.end = sync.OnceFunc(func() {
		stop()
		<-done
		_ = channel.Close()
		table().End(time.Second)
	})
}

// await waits for a report.
func (a *life) await(is func(*executor.ExecutorConfig) bool) *executor.ExecutorConfig {
	a.Helper()
	config, err := a.Await(a.ctx, is)
	if err != nil {
		a.Fatal(err)
	}
	return config
}

func (a *life) change(change func(*executor.ExecutorConfig)) {
	a.Helper()
	if err := a.Change(change); err != nil {
		a.Fatal(err)
	}
}

func shell(script string) *executor.SessionConfig {
	return &executor.SessionConfig{Active: true, Cmd: executor.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}
}

func sessions(s map[string]*executor.SessionConfig) *executor.ExecutorConfig {
	return &executor.ExecutorConfig{Sessions: s}
}

func TestSessionsRunAndReport(t *testing.T) {
	a := begin(t, sessions(map[string]*executor.SessionConfig{
		"good": shell("echo hello; exit 0"), "bad": shell("exit 7"),
		"none": {Active: true, Cmd: executor.Cmd{Path: "/no/such"}}, "idle": {Cmd: executor.Cmd{Path: "/bin/sh"}},
		"held": {Active: true, RunBlock: true, Cmd: executor.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 5"}}},
	}))
	c := a.await(func(c *executor.ExecutorConfig) bool {
		return c.Sessions["good"].Detail.StopTime != 0 && c.Sessions["bad"].Detail.StopTime != 0 && c.Sessions["none"].Started != ""
	})
	good, bad, none := c.Sessions["good"], c.Sessions["bad"], c.Sessions["none"]
	if good.Started != "true" || good.ExitStatus != 0 || good.Detail.StartTime == 0 || good.Detail.CreateTime == 0 || len(good.Diagnostics.ExitLogs) != 1 {
		t.Errorf("good: %+v", good)
	}
	if bad.Started != "true" || bad.ExitStatus != 7 || bad.Diagnostics.ExitLogs[0].ExitStatus != 7 {
		t.Errorf("bad: %+v", bad)
	}
	if !strings.Contains(none.Started, "no such file") || none.Detail.StartTime != 0 {
		t.Errorf("none: %+v", none)
	}
	for _, id := range []string{"idle", "held"} {
		if s := c.Sessions[id]; s.Started != "" || s.Detail != (executor.Detail{}) {
			t.Errorf("%s: %+v", id, s)
		}
	}
	a.shows("[good] hello\n")
	a.change(func(c *executor.ExecutorConfig) { c.Sessions["held"].RunBlock = false })
	a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["held"].ExitStatus == 5 })
}

// TestStopAndStart: what is not active any more gets its stop signal, and runs again once it is active again, with what is
// configured by then.
func TestStopAndStart(t *testing.T) {
	web := shell(`trap 'exit 3' USR1; echo up; while :; do sleep 0.01; done`)
	web.StopSignal, web.Restart = "SIGUSR1", true
	a := begin(t, sessions(map[string]*executor.SessionConfig{"web": web}))
	a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["web"].Started == "true" })
	a.shows("[web] up\n") // its trap is set
	a.change(func(c *executor.ExecutorConfig) {
		c.Sessions["web"].Active = false
		c.Sessions["web"].Cmd.Args[2] = "exit 4"
	})
	a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["web"].ExitStatus == 3 })
	a.change(func(c *executor.ExecutorConfig) { c.Sessions["web"].Active, c.Sessions["web"].Restart = true, false })
	c := a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["web"].ExitStatus == 4 })
	if s := c.Sessions["web"]; s.Diagnostics.ResurrectionCount != 0 || len(s.Diagnostics.ExitLogs) != 2 {
		t.Errorf("%+v", s.Diagnostics)
	}
}

func TestRestart(t *testing.T) {
	web := shell("exit 9")
	web.Restart = true
	a := begin(t, sessions(map[string]*executor.SessionConfig{"web": web}))
	c := a.await(func(c *executor.ExecutorConfig) bool { return len(c.Sessions["web"].Diagnostics.ExitLogs) == 2 })
	if s := c.Sessions["web"]; s.Diagnostics.ResurrectionCount != 1 || s.ExitStatus != 9 {
		t.Errorf("%+v", s)
	}
}

// TestExecRunsOnce: one that appears runs; it does not run again when the agent comes anew to the same boot.
func TestExecRunsOnce(t *testing.T) {
	a := begin(t, &executor.ExecutorConfig{})
	ran := filepath.Join(t.TempDir(), "ran")
	a.change(func(c *executor.ExecutorConfig) {
		e := shell("echo once >> " + ran + "; exit 6")
		e.ID = "x"
		c.Execs = map[string]*executor.SessionConfig{"x": e}
	})
	a.await(func(c *executor.ExecutorConfig) bool {
		return c.Execs["x"].ExitStatus == 6 && c.Execs["x"].Detail.StopTime != 0
	})
	a.end()
	a.start()
	a.change(func(c *executor.ExecutorConfig) {
		y := shell("cat " + ran + "; exit $(cat " + ran + " | wc -l)")
		y.ID = "y"
		c.Execs["y"] = y
	})
	a.await(func(c *executor.ExecutorConfig) bool { return c.Execs["y"].ExitStatus == 1 })
}

// TestRemoved: what leaves the configuration ends, and nothing is said of it.
func TestRemoved(t *testing.T) {
	a := begin(t, sessions(map[string]*executor.SessionConfig{"gone": shell("exec sleep 1000"), "stays": shell("exec sleep 1000")}))
	a.await(func(c *executor.ExecutorConfig) bool {
		return c.Sessions["gone"].Started == "true" && c.Sessions["stays"].Started == "true"
	})
	a.change(func(c *executor.ExecutorConfig) {
		delete(c.Sessions, "gone")
		c.Sessions["stays"].Active = false
	})
	a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["stays"].ExitStatus == 128+15 })
}

// TestFailingParts: a mount and an endpoint that cannot be had are told of, and the session runs.
func TestFailingParts(t *testing.T) {
	bad, err := executor.ParseSource("cifs://u:s3cret@nas/share")
	if err != nil {
		t.Fatal(err)
	}
	config := sessions(map[string]*executor.SessionConfig{"web": shell("exit 8")})
	config.Mounts = map[string]executor.MountSpec{"data": {Source: bad, Path: "/srv"}}
	config.Networks = map[string]*executor.NetworkEndpoint{"eth9": {Common: executor.Common{Name: "eth9", ID: "nowhere"}}}
	a := begin(t, config)
	c := a.await(func(c *executor.ExecutorConfig) bool { return c.Sessions["web"].ExitStatus == 8 })
	var told []string
	for _, l := range c.Diagnostics.ExitLogs {
		told = append(told, l.Message)
	}
	text := strings.Join(told, "\n")
	if len(told) != 2 || !strings.Contains(text, "attach a mount (data): cifs://nas/share at /srv: sources of the scheme cifs are not known here") ||
		!strings.Contains(text, `join a network (eth9): the id "nowhere" is no PCI slot`) {
		t.Errorf("%q", told)
	}
}
