// Command tether is the guest's side of config-server: the agent, which makes a guest what its executor says, and commands
// that read and set the keys of the VM that they run in. It is one static binary for an initramfs, and links nothing of the
// server. As the first process of a system it is the agent without being told.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "vmware-rpctool" { // a link to the tether, for software that calls it so
		args = append([]string{"rpc"}, args...)
	}
	t := &tether{stdout: os.Stdout, stderr: os.Stderr}
	code := t.run(ctx, args)
	stop()
	os.Exit(code)
}

// tether is one call of the command.
type tether struct {
	stdout, stderr io.Writer
	channel        string
	timeout        time.Duration
	level          slog.Level // of the agent's log
}

// command is one of those that the first argument chooses.
type command struct {
	name, usage, help string
	args              int
	run               func(*tether, context.Context, []string) error
}

var commands = []command{
	{"agent", "", "run what the executor says, and report; --log-level debug tells more", 0, (*tether).agent},
	{"get", "KEY", "print the value of a key; a secret one is opened", 1, (*tether).get},
	{"list", "", "print all keys and their values, less the secret ones", 0, (*tether).list},
	{"set", "KEY VALUE", "set a key, and return once the server has stored it", 2, (*tether).set},
	{"watch", "", "print all keys, and then each that is set or deleted", 0, (*tether).watch},
	{"rpc", "TEXT", `do what vmware-rpctool does: "info-get guestinfo.KEY", "info-set guestinfo.KEY VALUE"`, 1, (*tether).rpc},
}

// The exit codes.
const (
	failed = 1
	misuse = 2
)

// status is an error that was told already, as vmware-rpctool tells it.
type status int

func (s status) Error() string { return fmt.Sprint("exit status ", int(s)) }

// run answers the exit code: 0 for success, 1 for a failure, 2 for wrong usage.
func (t *tether) run(ctx context.Context, args []string) int {
	args, err := t.flags(args)
	if len(args) == 0 && os.Getpid() == 1 {
		args = []string{"agent"}
	}
	if err == nil && len(args) == 0 {
		err = errors.New("no command")
	}
	if err != nil {
		return t.misused(err)
	}
	at := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		return t.misused(fmt.Errorf("no such command: %q", args[0]))
	}
	c := commands[at]
	if args, err = t.flags(args[1:]); err != nil {
		return t.misused(err)
	}
	if c.name == "rpc" { // one text, as vmware-rpctool
		if len(args) == 0 {
			t.usage()
			return failed
		}
		args = args[:1]
	}
	if len(args) != c.args {
		return t.misused(fmt.Errorf("usage: tether %s", strings.TrimSpace(c.name+" "+c.usage)))
	}
	err = c.run(t, ctx, args)
	if told, ok := errors.AsType[status](err); ok {
		return int(told)
	}
	if err != nil {
		t.say("tether:", err)
		return failed
	}
	return 0
}

// flags reads the options, which may stand before the command and behind it.
func (t *tether) flags(args []string) ([]string, error) {
	f := flag.NewFlagSet("tether", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if t.channel == "" {
		t.channel = os.Getenv(channelVariable)
	}
	if t.timeout == 0 {
		t.timeout = 10 * time.Second
	}
	f.StringVar(&t.channel, "channel", t.channel, "")
	f.TextVar(&t.level, "log-level", t.level, "")
	f.DurationVar(&t.timeout, "timeout", t.timeout, "")
	err := f.Parse(args)
	if err == nil && t.timeout <= 0 {
		err = errors.New("--timeout must be more than 0")
	}
	return f.Args(), err
}

// say writes a line for people. Who cannot be told is not told.
func (t *tether) say(words ...any) { _, _ = fmt.Fprintln(t.stderr, words...) }

func (t *tether) misused(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		t.usage()
		return 0
	}
	t.say("tether:", err)
	t.say("tether -h tells more")
	return misuse
}

func (t *tether) usage() {
	var b strings.Builder
	b.WriteString("usage: tether [--channel ADDRESS] [--timeout 10s] COMMAND\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  tether %-16s %s\n", strings.TrimSpace(c.name+" "+c.usage), c.help)
	}
	fmt.Fprintf(&b, "\nADDRESS is unix:/path, virtio:NAME, vsock:CID:PORT or a device; %s in the environment\n", channelVariable)
	fmt.Fprint(&b, "is the same. Without it: the agent's socket if there is one, or else the virtio-serial port.\n")
	t.say(strings.TrimSuffix(b.String(), "\n"))
}
