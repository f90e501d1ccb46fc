package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vmexecutor/config-server/guest"
)

// channelVariable is the environment's name for --channel.
const channelVariable = "TETHER_CHANNEL"

// open connects to the server, over the agent of this guest where there is one.
func (t *tether) open(ctx context.Context) (*guest.Client, error) {
	address := t.channel
	if address == "" {
		address = "virtio:" + guest.PortName
		if _, err := os.Stat(guest.LocalSocket); err == nil {
			address = "unix:" + guest.LocalSocket
		}
	}
	open, err := guest.Address(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := t.limited(ctx)
	defer cancel()
	c, err := guest.Open(ctx, open, guest.ClientOptions{Agent: "tether", Once: true})
	switch {
	case errors.Is(err, guest.ErrNoPort) && t.channel == "":
		return nil, fmt.Errorf("no way to the server: %w; --channel names another", err)
	case errors.Is(err, syscall.EBUSY):
		return nil, fmt.Errorf("%w: another program has the port", err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return c, nil
}

// limited is the time for what is done once.
func (t *tether) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("no answer within %v", t.timeout))
}

// with connects, and does something in the time that there is for it.
func (t *tether) with(ctx context.Context, do func(context.Context, *guest.Client) error) error {
	c, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := t.limited(ctx)
	defer cancel()
	return do(ctx, c)
}
