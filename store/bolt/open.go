package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vmexecutor/config-server/internal/durable"
	"github.com/vmexecutor/config-server/store"
)

const (
	// FileName is the file in the data directory.
	FileName = "store.db"
	// lockName is the file whose lock a process holds that uses the directory. The lock of the store itself goes with a file
	// that a compaction replaces.
	lockName = "lock"
	// newName is a store that is being made. Found at a start, it is what an end in the middle left behind.
	newName = "store.db.new"

	format   = 2                      // 1 had no checksums, and no times in its log
	lockWait = 200 * time.Millisecond // for another process to let go
	// mapped is how much of the file is mapped from the start: 16 GiB, where addresses have 64 bits. It costs addresses and no
	// memory; a commit that has to map more waits for all readers, the slowest backup among them.
	mapped = 256 << 20 << (strconv.IntSize / 64 * 6)
)

var (
	keysBucket = []byte("keys")
	logBucket  = []byte("log")
	metaBucket = []byte("meta")

	formatKey = []byte("format")
	stateKey  = []byte("state")
)

// Open opens the store in a directory, and makes both when they do not exist. One process at a time can have it open:
// otherwise the error is store.ErrLocked. The whole file is read and checked first: a store of a newer format is
// store.ErrFormat, one that is not as it was written store.ErrDamaged, and both are left as they are. One of an older format is made new.
func Open(dir string, options ...Option) (*Engine, error) {
	e := &Engine{
		path: filepath.Join(dir, FileName), history: store.DefaultHistory, compactAt: 64 << 20, logger: slog.New(slog.DiscardHandler),
		turn: make(chan struct{}, 1), commit: make(chan struct{}), closed: make(chan struct{}), apply: (*change).commit,
	}
	for _, o := range options {
		o(e)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db, err := openIn(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", e.path, err), lock.Close())
	}
	e.lock = lock
	e.db.Store(db)
	e.background.Go(e.keep)
	return e, nil
}

// openIn opens the file in a directory that is locked.
func openIn(dir string) (*bbolt.DB, error) {
	path, made := filepath.Join(dir, FileName), filepath.Join(dir, newName)
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found, err := Verify(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(made); err != nil {
			return nil, err
		}
		err = install(made, path)
	case err == nil && found.Format < format:
		if err := upgrade(path, made); err != nil {
			return nil, err
		}
		err = install(made, path)
	}
	if err != nil {
		return nil, err
	}
	db, err := openFile(path)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", store.ErrLocked, dir)
	}
	return db, err
}

// openFile has bbolt open a file. Without the list of free pages on disk no commit pays for their number; it is found again
// when the file is opened.
func openFile(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, InitialMmapSize: mapped, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
}

// create makes a file with an empty store.
func create(path string) error {
	return fill(path, func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if err := meta.Put(formatKey, strconv.AppendInt(nil, format, 10)); err != nil {
			return err
		}
		return meta.Put(stateKey, state{}.encode())
	})
}

// fill changes a file that is not the store yet.
func fill(path string, fn func(*bbolt.Tx) error) error {
	db, err := openFile(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(fn), db.Close())
}

// install makes a file that is whole the store, in place of what was there: after a crash it is one or the other.
func install(made, path string) error {
	if err := os.Rename(made, path); err != nil {
		return err
	}
	return syncDirs(filepath.Dir(path))
}

// syncDirs makes it durable which files a directory has, and that it is there itself.
func syncDirs(dir string) error {
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if err := durable.SyncDir(path); err != nil {
			return fmt.Errorf("sync %s: %w", path, err)
		}
	}
	return nil
}

// lockDir makes a directory and locks it. The lock goes when the file is closed, or the process ends in whatever way.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's choice
	if err != nil {
		return nil, err
	}
	for begun := time.Now(); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
		case time.Since(begun) > lockWait:
			return nil, errors.Join(fmt.Errorf("%w: %s", store.ErrLocked, dir), f.Close())
		}
		<-time.After(lockWait / 10)
	}
}
