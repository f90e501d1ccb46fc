package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace changes a file as a whole, durably, and keeps its mode and owner; one that there is not is empty, and made with mode 0600.
// Two that change files of one directory wait for each other.
func Replace(path string, change func([]byte) ([]byte, error)) (err error) {
	switch target, err := filepath.EvalSymlinks(path); {
	case err == nil:
		path = target // what a link leads to is replaced, not the link; and it is its directory that is locked and synced
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer directory.Close() // lets the next one in
	if err := syscall.Flock(int(directory.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", directory.Name(), err)
	}
	old, err := os.Stat(path)
	var text []byte
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return fmt.Errorf("%s: is not a file", path)
	default:
		if text, err = os.ReadFile(path); err != nil { //nolint:gosec // whoever calls names it
			return err
		}
	}
	if text, err = change(text); err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		next.Close()
		if err != nil {
			err = errors.Join(err, os.Remove(next.Name()))
		}
	}()
	if old != nil {
		if err := keep(next, old); err != nil {
			return err
		}
	}
	if _, err := next.Write(text); err != nil {
		return err
	}
	if err := next.Sync(); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return err
	}
	return directory.Sync()
}

// keep gives a file the mode of the one that it is to replace, and its owner when root does it for another user.
func keep(f *os.File, old os.FileInfo) error {
	if err := f.Chmod(old.Mode().Perm()); err != nil {
		return err
	}
	owner, ok := old.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
