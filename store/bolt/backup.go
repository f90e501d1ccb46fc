package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Backup implements store.Backuper. What it writes is a file of the engine, as Open and Restore take it.
func (e *Engine) Backup(ctx context.Context, begin func(size int64) (io.Writer, error)) error {
	return e.view(func(tx *bbolt.Tx) error {
		w, err := begin(tx.Size())
		if err != nil {
			return err
		}
		if _, err = tx.WriteTo(&untilDone{ctx, w}); err != nil {
			return firstOf(ctx.Err(), err) // bbolt wraps by text alone
		}
		return nil
	})
}

// untilDone writes until a context ends.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u *untilDone) Write(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(b)
}

// restoredAhead is how far the revision of a restored store is ahead of the backup's. The store that was lost had gone on, and
// clients have seen its revisions: none of them may come again and mean something else.
const restoredAhead = 1_000_000_000

// ErrHasStore: the directory has a store, which would be lost.
var ErrHasStore = errors.New("the data directory has a store already")

// Restore makes a backup the store of a directory that no process uses (else: store.ErrLocked). The backup is read and checked whole, and
// copied, before anything is replaced, and then the copy takes its place in one step; a store that is there already is replaced only
// if replace says so (else: ErrHasStore), in whatever state it is. The history does not come with it: who watches has to list again.
func Restore(backup, dir string, replace bool) (Info, error) {
	info, err := Verify(backup)
	if err != nil {
		return info, fmt.Errorf("%s: %w", backup, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return info, err
	}
	defer lock.Close()
	path, made := filepath.Join(dir, FileName), filepath.Join(dir, newName)
	if _, err := os.Lstat(path); !replace && !errors.Is(err, fs.ErrNotExist) {
		return info, firstOf(err, fmt.Errorf("%w: %s", ErrHasStore, path))
	}
	if info, err = prepare(backup, info.Format, made); err == nil {
		err = install(made, path)
	}
	if err != nil {
		return info, errors.Join(fmt.Errorf("restore %s: %w", path, err), os.RemoveAll(made))
	}
	return info, nil
}

// prepare makes a store of a backup, beside the one that it will replace.
func prepare(backup string, found int, made string) (info Info, err error) {
	if err := os.RemoveAll(made); err != nil {
		return info, err
	}
	if found < format {
		err = upgrade(backup, made)
	} else if err = copyFile(backup, made); err == nil {
		_, err = Verify(made) // before bbolt looks at it
	}
	if err == nil {
		err = fill(made, ahead)
	}
	if err != nil {
		return info, err
	}
	return Verify(made)
}

// ahead sets the revision forward, and forgets the history.
func ahead(tx *bbolt.Tx) error {
	s, err := stateOf(tx)
	if err != nil {
		return err
	}
	if err := tx.DeleteBucket(logBucket); err != nil {
		return err
	}
	if _, err := tx.CreateBucket(logBucket); err != nil {
		return err
	}
	s.revision += restoredAhead
	return tx.Bucket(metaBucket).Put(stateKey, s.encode())
}

// copyFile copies a file to one that is not there yet, onto the disk.
func copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}
