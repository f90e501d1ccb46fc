package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/store/seal"
)

// rotateKeyCommand makes a new key for what is stored.
type rotateKeyCommand struct {
	Wait time.Duration `long:"wait" value-name:"DURATION" default:"10m" description:"How long to wait until a running server has sealed everything with the new key; 0 is not at all: the server goes on by itself, at its next start if it does not run"`
}

// poll is how often the command looks whether the server is done.
const poll = 100 * time.Millisecond

// run puts a new key first in the file. The server that reads it seals all with that, and removes the others when it is done.
func (c *rotateKeyCommand) run(ctx context.Context, server app.Options) error {
	path := server.SecretKeys()
	before, err := seal.ReadFile(path)
	if err == nil && len(before.Keys) > 1 {
		err = fmt.Errorf("%s has %d keys: the server has not sealed all with the first one yet", path, len(before.Keys))
	}
	if err != nil {
		return fmt.Errorf("--secret-key-file: %w", err)
	}
	file, err := seal.Rotate(path)
	if err != nil {
		return fmt.Errorf("--secret-key-file: %w", err)
	}
	current := file.Keys[0].ID()
	fmt.Printf("%s: the new key is %s; backups that were made before need %s\n", path, current, before.Keys[0].ID())
	if c.Wait <= 0 {
		return nil
	}
	return await(ctx, path, current, c.Wait)
}

// await waits until a key is alone in the file.
func await(ctx context.Context, path string, current seal.ID, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no server has sealed everything with the key %s yet: one that runs with this file says in its log why, another does it when it starts", current)
		case <-ticker.C:
		}
		file, err := seal.ReadFile(path)
		if err != nil {
			return err
		}
		if len(file.Keys) == 1 && file.Keys[0].ID() == current {
			_, err := fmt.Fprintln(os.Stdout, "everything is sealed with it")
			return err
		}
	}
}
