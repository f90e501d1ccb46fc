package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// listenSocket listens on a unix socket that those can connect to whom its mode lets. A file that a dead
// server left behind is replaced; one that somebody answers on is not.
func listenSocket(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("--socket-path: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("--socket-path: %s exists and is not a socket", path)
	default:
		if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("--socket-path: another server listens on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("--socket-path: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("--socket-path: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("--socket-path: %w", err)
	}
	return l, nil
}
