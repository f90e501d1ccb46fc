// Command simctl plays the operator and the guest of a VM in the simulator that config-server
// starts by itself: it switches VMs, and reads and writes keys as their guests may.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator/remote"
)

// command is what the command line asks for.
type command struct {
	URL   string `long:"url" value-name:"URL" default:"http://127.0.0.1:8989/sdk" env:"SIMULATOR_URL" description:"The simulator's vSphere API, as the server logs it at its start"`
	Power power  `command:"power" description:"Switch a VM"`
	Guest guest  `command:"guest" description:"Read and write keys as the guest of a VM"`
}

type power struct {
	Args struct {
		Action string `positional-arg-name:"on|off|suspend|reset"`
		VM     string `positional-arg-name:"VM"`
	} `positional-args:"yes" required:"yes"`
}

type guest struct {
	Get struct {
		Args struct {
			VM, Key string
		} `positional-args:"yes" required:"yes"`
	} `command:"get" description:"Print the value of a key"`
	Set struct {
		Args struct {
			VM, Key, Value string
		} `positional-args:"yes" required:"yes"`
	} `command:"set" description:"Write a key"`
	List struct {
		Args struct {
			VM string
		} `positional-args:"yes" required:"yes"`
	} `command:"list" description:"Print all keys that the guest sees"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run answers the exit code: 0 for a clean end, 1 for a failure, 2 for wrong usage.
func run(ctx context.Context, args []string) int {
	var c command
	parser := flags.NewParser(&c, flags.HelpFlag|flags.PassDoubleDash)
	parser.Name = "simctl"
	rest, err := parser.ParseArgs(args)
	var usage *flags.Error
	switch {
	case errors.As(err, &usage) && usage.Type == flags.ErrHelp:
		fmt.Println(usage.Message)
		return 0
	case err == nil && len(rest) > 0:
		err = fmt.Errorf("unexpected argument %q", rest[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simctl:", err)
		return 2
	}
	if err := c.do(ctx, parser.Active); err != nil {
		fmt.Fprintln(os.Stderr, "simctl:", err)
		return 1
	}
	return 0
}

func (c *command) do(ctx context.Context, active *flags.Command) error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return errors.New("--url: not a URL")
	}
	s, err := remote.Dial(ctx, u)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // the session ends by itself, later
	if active.Name == "power" {
		return s.Power(ctx, c.Power.Args.VM, c.Power.Args.Action)
	}
	switch active.Active.Name {
	case "get":
		value, err := s.GuestGet(ctx, c.Guest.Get.Args.VM, c.Guest.Get.Args.Key)
		if err == nil {
			fmt.Println(value)
		}
		return err
	case "set":
		return s.GuestSet(ctx, c.Guest.Set.Args.VM, c.Guest.Set.Args.Key, c.Guest.Set.Args.Value)
	default:
		pairs, err := s.GuestList(ctx, c.Guest.List.Args.VM)
		for _, p := range pairs {
			fmt.Println(p.Key + " = " + oneLine(p.Value))
		}
		return err
	}
}

// oneLine quotes a value that would not stay on its line.
func oneLine(value string) string {
	if strings.ContainsAny(value, "\r\n") {
		return strconv.Quote(value)
	}
	return value
}
