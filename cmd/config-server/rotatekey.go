package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/vmexecutor/config-server/app"
)

// rotateKeyCommand has the store sealed with a new key.
type rotateKeyCommand struct {
	Wait time.Duration `long:"wait" value-name:"DURATION" default:"10m" description:"How long to wait until a running server has sealed everything with the new key; 0 is not at all: the server goes on by itself, at its next start if it does not run"`
}

func (c *rotateKeyCommand) run(ctx context.Context, server app.Options) error {
	if c.Wait < 0 {
		return &app.UsageError{Err: errors.New("--wait: must not be negative")}
	}
	return server.RotateKey(ctx, c.Wait, os.Stdout)
}
