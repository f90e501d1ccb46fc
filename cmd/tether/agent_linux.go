package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vmexecutor/config-server/cmd/tether/internal/agent"
	"github.com/vmexecutor/config-server/cmd/tether/internal/boot"
	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/guest"
)

// endLimit is how long sessions may take to end when the agent does.
const endLimit = 10 * time.Second

// agent is the life of the agent, as a service or as the first process of a system.
func (t *tether) agent(ctx context.Context, _ []string) error {
	log := slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: t.level}))
	address := cmp.Or(t.channel, "virtio:"+guest.PortName)
	open, err := guest.Address(address)
	if err != nil {
		return err
	}
	if os.Getpid() == 1 {
		boot.Init(log)
	}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx)) // which signal it was matters here
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR)
	go func() { stop(ended{<-signals}) }()

	table := process.NewTable()
	log.Info("waiting for the server", "address", address)
	err = live(ctx, table, open, log, t.stdout)
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

func live(ctx context.Context, table *process.Table, open guest.Opener, log *slog.Logger, console io.Writer) error {
	channel, err := guest.Open(ctx, open, guest.ClientOptions{Agent: "tether", Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = channel.Close() }()
	log.Info("the server welcomed this guest", "executor", channel.Welcome().Executor)
	local, err := listen(ctx)
	if err != nil {
		log.Warn("other programs of this guest cannot use the channel", "err", err)
	} else {
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := channel.ServeLocal(ctx, local); err != nil {
				log.Warn("other programs of this guest cannot use the channel any more", "err", err)
			}
		}()
		defer func() { <-served }()
	}
	return agent.Run(ctx, agent.Options{Channel: channel, Table: table, Console: console, Log: log})
}

// listen makes the socket for the other programs of the guest, which is root's alone.
func listen(ctx context.Context) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(guest.LocalSocket), 0o755); err != nil { //nolint:gosec // the socket has the mode that matters
		return nil, err
	}
	if err := os.Remove(guest.LocalSocket); err != nil && !errors.Is(err, os.ErrNotExist) { // an earlier agent's
		return nil, err
	}
	mask := syscall.Umask(0o177)
	defer syscall.Umask(mask)
	return new(net.ListenConfig).Listen(ctx, "unix", guest.LocalSocket)
}

// ended is the end that a signal asked for.
type ended struct{ by os.Signal }

func (e ended) Error() string { return "a signal: " + e.by.String() }
