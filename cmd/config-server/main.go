// Command config-server serves the configuration of executors and keeps their VMs' key sets equal to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
)

func main() { os.Exit(run(os.Args[1:])) }

// run answers the exit code: 0 for a clean end, 1 for a failure, 2 for wrong usage.
func run(args []string) int {
	var o app.Options
	parser := flags.NewParser(&o, flags.HelpFlag|flags.PassDoubleDash)
	parser.Name = "config-server"
	parser.SubcommandsOptional = true
	if err := addTokenCommand(parser, &o); err != nil {
		fmt.Fprintln(os.Stderr, "config-server:", err)
		return 1
	}
	rest, err := parser.ParseArgs(args)
	var usage *flags.Error
	switch {
	case errors.As(err, &usage) && usage.Type == flags.ErrHelp:
		fmt.Println(usage.Message)
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "config-server:", err)
		return 2
	case err != nil: // of a command
		fmt.Fprintln(os.Stderr, "config-server:", err)
		return 1
	case len(rest) > 0:
		fmt.Fprintf(os.Stderr, "config-server: unexpected argument %q\n", rest[0])
		return 2
	}
	if parser.Active != nil {
		return 0 // a command did all there was to do
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app.Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "config-server:", err)
		return 1
	}
	return 0
}
