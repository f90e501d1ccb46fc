package auth

import (
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/vmexecutor/config-server/internal/durable"
)

// watched is what some files say, read again when one of them changed. A look at the files' times and sizes is a few
// microseconds, so that every use takes one: what was revoked counts no more for the next request, and nobody has to be told.
type watched[T any] struct {
	what  string // for the log
	paths []string
	read  func() (T, error)
	log   *slog.Logger

	mu    sync.Mutex
	seen  []os.FileInfo // nil for a file that is not there
	value T
}

// open reads the files for the first time.
func (w *watched[T]) open() (err error) {
	w.seen = w.look()
	w.value, err = w.read()
	return err
}

// get gives what the files say. When they changed to something that cannot be read or is faulty, the last good version counts on, and
// the log says so, once for each change.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.look() // before the files are read: what changes in between is found by the next look
	if slices.EqualFunc(w.seen, now, durable.Same) {
		return w.value
	}
	w.seen = now
	value, err := w.read()
	if err != nil {
		w.log.Error("a changed file cannot be used: what it said before counts on", "what", w.what, "error", err)
		return w.value
	}
	w.log.Info("a changed file was read", "what", w.what)
	w.value = value
	return value
}

func (w *watched[T]) look() []os.FileInfo {
	infos := make([]os.FileInfo, len(w.paths))
	for i, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}
