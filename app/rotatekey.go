package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vmexecutor/config-server/store/seal"
)

// rotatePoll is how often it is looked whether the server is done.
const rotatePoll = 100 * time.Millisecond

// RotateKey puts a new key first in the key file, and a copy of what that was beside it, named by its key: backups need that. The server
// that reads the file seals all with the new key, and removes the others when it is done; for which this waits so long, or not at all for 0. It tells
// w what happened.
func (o *Options) RotateKey(ctx context.Context, wait time.Duration, w io.Writer) error {
	path := o.secretKeys()
	before, err := seal.ReadFile(path)
	if err == nil && len(before.Keys) > 1 {
		err = fmt.Errorf("%s has %d keys: the server has not sealed all with the first one yet", path, len(before.Keys))
	}
	if err != nil {
		return fmt.Errorf("--secret-key-file: %w", err)
	}
	kept := fmt.Sprintf("%s.%s", path, before.Keys[0].ID())
	if err := before.Save(kept); err != nil {
		return fmt.Errorf("--secret-key-file: %w", err)
	}
	file, err := seal.Rotate(path)
	if err != nil {
		return fmt.Errorf("--secret-key-file: %w", err)
	}
	current := file.Keys[0].ID()
	if _, err := fmt.Fprintf(w, "%s: the new key is %s\n%s: has the key of before. Move it to where it is safe, or remove it when no backup needs it\n", path, current, kept); err != nil {
		return err
	}
	if wait == 0 {
		return nil
	}
	if err := awaitKey(ctx, path, current, wait); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "everything is sealed with it")
	return err
}

// awaitKey waits until a key is alone in a file.
func awaitKey(ctx context.Context, path string, current seal.ID, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(rotatePoll)
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
			return nil
		}
	}
}
