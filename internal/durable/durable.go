// Package durable is for what replaces files: a name that a file was given outlasts a crash once its directory is synced, too.
// Any package may import it.
package durable

import (
	"errors"
	"os"
)

// SyncDir makes it durable which files a directory has.
func SyncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
