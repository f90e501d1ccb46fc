package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vmexecutor/config-server/store"
)

const (
	// FileName is the file in the data directory.
	FileName = "store.db"

	format   = 1
	lockWait = 200 * time.Millisecond // for another process to let go of the file
	// mapped is how much of the file is mapped from the start. It costs addresses and no memory; a commit that
	// has to map more waits for all readers.
	mapped = 256 << 20
)

var (
	keysBucket = []byte("keys")
	logBucket  = []byte("log")
	metaBucket = []byte("meta")

	formatKey   = []byte("format")
	revisionKey = []byte("revision")
)

// Open opens the store in a directory, and makes both when they do not exist. One process at a time can have it open:
// otherwise the error is store.ErrLocked. A store of a newer format is store.ErrFormat, and is left as it is.
func Open(dir string, options ...Option) (*Engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, FileName)
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	// Without the list of free pages on disk no commit pays for their number; it is found again at the next Open.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, InitialMmapSize: mapped, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open store: %w: %s", store.ErrLocked, dir)
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	e := &Engine{db: db, history: History, commit: make(chan struct{}), closed: make(chan struct{})}
	for _, o := range options {
		o(e)
	}
	err = db.View(recognize)
	if errors.Is(err, errEmpty) {
		err = db.Update(initialize)
	}
	if err == nil && fresh {
		err = syncDirs(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), db.Close())
	}
	return e, nil
}

// errEmpty is a file that holds nothing yet.
var errEmpty = errors.New("the file is empty")

// recognize refuses what this program did not write or cannot read. It changes nothing.
func recognize(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		if name, _ := tx.Cursor().First(); name == nil {
			return errEmpty
		}
		return errNotOurs
	}
	found := string(meta.Get(formatKey))
	switch n, err := strconv.Atoi(found); {
	case err != nil:
		return errNotOurs
	case n > format:
		return fmt.Errorf("%w: it has format %d, and this one knows %d", store.ErrFormat, n, format)
	case tx.Bucket(keysBucket) == nil || tx.Bucket(logBucket) == nil:
		return errNotOurs
	}
	return nil
}

var errNotOurs = errors.New("the file is not a store of this program")

func initialize(tx *bbolt.Tx) error {
	for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(formatKey, strconv.AppendInt(nil, format, 10))
}

// syncDirs makes it durable that a new file is there: bbolt syncs the file and not its name.
func syncDirs(dir string) error {
	for _, path := range []string{dir, filepath.Dir(dir)} {
		d, err := os.Open(path) //nolint:gosec // the operator's choice
		if err != nil {
			return err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return fmt.Errorf("sync %s: %w", path, err)
		}
	}
	return nil
}
