package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vmexecutor/config-server/cmd/tether/internal/agent"
	"github.com/vmexecutor/config-server/cmd/tether/internal/boot"
	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/guest"
)

// endLimit is how long sessions may take to end when the agent does.
const endLimit = 10 * time.Second

// runAgent is the life of the agent, as a service or as the first process of a system.
func runAgent(args []string) error {
	flags := flag.NewFlagSet("tether agent", flag.ContinueOnError)
	address := flags.String("address", cmp.Or(os.Getenv("TETHER_ADDRESS"), "virtio:"+guest.PortName),
		"where the server is: virtio:NAME, vsock:CID:PORT, unix:/path or a device; or TETHER_ADDRESS in the environment")
	level := slog.LevelInfo
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	open, err := guest.Address(*address)
	if err != nil {
		return err
	}
	if os.Getpid() == 1 {
		boot.Init(log)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR)
	go func() { stop(ended{<-signals}) }()

	table := process.NewTable()
	err = live(ctx, table, open, log, *address)
	log.Info("ending", "why", err)
	table.End(endLimit)
	var why ended
	switch {
	case !errors.As(err, &why):
		return err
	case os.Getpid() != 1:
		return nil
	case why.by == syscall.SIGTERM || why.by == syscall.SIGINT: // as init(8) has it, and busybox
		boot.Reboot()
	default:
		boot.PowerOff()
	}
	return nil
}

func live(ctx context.Context, table *process.Table, open guest.Opener, log *slog.Logger, address string) error {
	log.Info("waiting for the server", "address", address)
	channel, err := guest.Open(ctx, open, guest.ClientOptions{Agent: "tether", Log: log})
	if err != nil {
		return err
	}
	defer channel.Close()
	log.Info("the server welcomed this guest", "executor", channel.Welcome().Executor)
	return agent.Run(ctx, agent.Options{Channel: channel, Table: table, Console: os.Stdout, Log: log})
}

// ended is the end that a signal asked for.
type ended struct{ by os.Signal }

func (e ended) Error() string { return "a signal: " + e.by.String() }
