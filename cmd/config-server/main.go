// Command config-server serves the configuration of executors and keeps their VMs' key sets equal to it. With the command backup
// or restore it copies the store of one that runs, or puts such a copy in place; with token new it lets somebody in,
// and with rotate-key it has the store sealed with a new key.
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
	var backup backupCommand
	var restore restoreCommand
	var token newTokenCommand
	var rotate rotateKeyCommand
	parser := flags.NewParser(&o, flags.HelpFlag|flags.PassDoubleDash)
	parser.Name = "config-server"
	parser.SubcommandsOptional = true
	_, err := parser.AddCommand("backup", "Copy the store of a server that runs", "Copies the store of a server that runs into a file, and checks the copy.", &backup)
	if err == nil {
		_, err = parser.AddCommand("restore", "Make a backup the store", "Checks a backup and makes it the store in --data-dir, which no server may use meanwhile.", &restore)
	}
	if err == nil {
		_, err = parser.AddCommand("rotate-key", "Seal the store with a new key", "Puts a new key into the file that --secret-key-file names, or that is in --data-dir, and waits until the server has sealed everything with it. The server runs on meanwhile. Keep the old key as long as you keep backups that were made with it.", &rotate)
	}
	if err == nil {
		err = addTokenCommand(parser, &token)
	}
	var rest []string
	if err == nil {
		rest, err = parser.ParseArgs(args)
	}
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
	command := app.Run
	for c := parser.Active; c != nil; c = c.Active {
		command = map[string]func(context.Context, app.Options) error{"backup": backup.run, "restore": restore.run, "rotate-key": rotate.run, "new": token.run}[c.Name]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "config-server:", err)
		if _, wrong := errors.AsType[*app.UsageError](err); wrong {
			return 2
		}
		return 1
	}
	return 0
}
