package app

import (
	"fmt"
	"log/slog"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/memory"
)

// noData as a data directory keeps everything in memory.
const noData = "none"

// openStore opens the engine that the options say.
func (o *Options) openStore(log *slog.Logger) (store.Engine, error) {
	history := store.DefaultHistory
	if o.HistoryBytes > 0 {
		history.Bytes = o.HistoryBytes
	}
	if o.DataDir == noData {
		log.Warn("the data is in memory alone, and is gone when the server ends")
		return memory.New(history), nil
	}
	return bolt.Open(o.DataDir, bolt.WithHistory(history), bolt.WithLogger(log))
}

// Contents say what is in a backup.
type Contents struct {
	Revision uint64
	Bytes    int64
}

func (c Contents) String() string { return fmt.Sprintf("revision %d, %d bytes", c.Revision, c.Bytes) }

// CheckBackup reads a backup, and tells whether it is whole.
func CheckBackup(file string) (Contents, error) {
	info, err := bolt.Verify(file)
	return Contents{info.Revision, info.Size}, err
}

// Restore makes a backup the store of the data directory. It is checked whole before anything is replaced, and whether the key file opens
// it; a store that is there is replaced only if replace says so.
func (o *Options) Restore(file string, replace bool) (Contents, error) {
	if o.DataDir == noData || o.DataDir == "" {
		return Contents{}, &UsageError{fmt.Errorf("--data-dir: %q is no directory to restore into", o.DataDir)}
	}
	info, err := bolt.Verify(file)
	if err != nil {
		return Contents{}, fmt.Errorf("%s: %w", file, err)
	}
	if !info.Older() {
		if err := o.opens(file); err != nil {
			return Contents{}, err
		}
	}
	info, err = bolt.Restore(file, o.DataDir, replace)
	return Contents{info.Revision, info.Size}, err
}
