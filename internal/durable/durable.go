// Package durable is for what replaces files: each is what it was or what it became, also after a crash. Any package may import it.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// SyncDir makes it durable which files a directory has: a name that a file was given outlasts a crash only then.
func SyncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sync makes it durable what somebody else wrote into a file, and that it has its name.
func Sync(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Same reports whether two looks at a path found the same file, unchanged; nil is that there was none.
func Same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
