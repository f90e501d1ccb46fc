package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/internal/durable"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/seal"
)

// secretKeyName is the key file in the data directory, when no other is named.
const secretKeyName = "secret.key"

// secretKeys is the path of the key file.
func (o *Options) secretKeys() string {
	return cmp.Or(o.SecretKeyFile, filepath.Join(o.DataDir, secretKeyName))
}

// openKeys gives the keys that a store is sealed with. Their file is made when neither it nor anything sealed is there: a store whose
// keys are missing is not gone on with.
func (o *Options) openKeys(ctx context.Context, engine store.Engine, log *slog.Logger, trail *audit.Trail) (*keeper, error) {
	if o.DataDir == noData && o.SecretKeyFile == "" {
		return &keeper{keys: seal.NewKeys()}, nil
	}
	k := &keeper{path: o.secretKeys(), log: log, trail: trail}
	var with map[seal.ID]int
	var unsealed int
	err := engine.View(ctx, func(snap store.Snapshot) (err error) {
		with, unsealed, err = store.Seals(snap)
		return err
	})
	if err != nil {
		return nil, err
	}
	k.seen, _ = os.Stat(k.path) // before it is read: what changes in between is found by the next look
	file, err := seal.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) && len(with) == 0 {
		if file, err = seal.MakeFile(k.path, unsealed > 0); err != nil {
			return nil, fmt.Errorf("--secret-key-file: %w", err)
		}
		log.Info("made a key that secrets are sealed with: without it the store cannot be read, so keep a copy elsewhere", "file", k.path, "key", file.Keys[0].ID())
		k.seen, _ = os.Stat(k.path)
	}
	switch {
	case err == nil:
		err = canOpen(k.path, file, with, unsealed)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: the store is sealed with the key %s, without which it cannot be read", err, anyOf(with))
	}
	if err != nil {
		return nil, fmt.Errorf("--secret-key-file: %w", err)
	}
	k.keys = seal.NewKeys(file.Keys...)
	k.keys.TakeUnsealed(file.Unsealed)
	k.needed = file.Keys
	if k.behind = len(file.Keys) > 1 || file.Unsealed; k.behind { // by somebody, while no server ran
		err = durable.Sync(k.path)
	}
	return k, err
}

// opens says why the key file does not open a backup, which has the newest format.
func (o *Options) opens(backup string) error {
	return bolt.Read(backup, func(snap store.Snapshot) error {
		with, unsealed, err := store.Seals(snap)
		if err != nil || len(with) == 0 {
			return err
		}
		path := o.secretKeys()
		file, err := seal.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s is not there: %s is sealed with the key %s, whose file must be in place first", path, backup, anyOf(with))
		case err == nil:
			err = canOpen(path, file, with, unsealed)
		}
		if err != nil {
			return fmt.Errorf("--secret-key-file: %w", err)
		}
		return nil
	})
}

// canOpen says why the keys of a file do not open a store.
func canOpen(path string, file seal.File, with map[seal.ID]int, unsealed int) error {
	missing := maps.Clone(with)
	for _, key := range file.Keys {
		delete(missing, key.ID())
	}
	switch {
	case len(missing) > 0:
		id := anyOf(missing)
		return fmt.Errorf("%s does not have the key %s, with which %d records are sealed", path, id, missing[id])
	case unsealed > 0 && !file.Unsealed:
		return fmt.Errorf("%d records are not sealed: unless somebody else put them there, add a line with the word unsealed to %s", unsealed, path)
	}
	return nil
}

// anyOf gives the first of some keys.
func anyOf(with map[seal.ID]int) seal.ID {
	return slices.MinFunc(slices.Collect(maps.Keys(with)), func(a, b seal.ID) int { return cmp.Compare(a.String(), b.String()) })
}

const (
	keysEvery = time.Second // how often the key file is looked at
	keysRetry = time.Minute // how long to wait after something failed
)

// keeper keeps a store sealed with the first key of its file. When that changes it seals all anew, and then removes the other keys.
type keeper struct {
	path   string // none: nothing ever changes
	keys   *seal.Keys
	log    *slog.Logger
	trail  *audit.Trail
	seen   os.FileInfo // the file when it was last read
	needed []seal.Key  // that something may be sealed with
	behind bool        // something may be sealed with another than the first
	// How many records were sealed anew since the store was sealed with one key: also by what ended with an error after that.
	resealed int
}

// run keeps a store until ctx ends.
func (k *keeper) run(ctx context.Context, st *store.Store) {
	if k.path == "" {
		return
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		next := keysEvery
		if err := k.look(ctx, st); err != nil && ctx.Err() == nil {
			k.log.Error("the store is not sealed with the first key of the file yet", "file", k.path, "error", err, "retry", keysRetry)
			next = keysRetry
		}
		wait.Reset(next)
	}
}

// look brings keys and store to what the file says.
func (k *keeper) look(ctx context.Context, st *store.Store) error {
	if err := k.read(); err != nil {
		return err
	}
	if !k.behind {
		return nil
	}
	current := k.keys.Current()
	n, err := st.Reseal(ctx)
	k.resealed += n
	if err != nil {
		return err
	}
	k.needed = slices.DeleteFunc(slices.Clone(k.needed), func(key seal.Key) bool { return key.ID() != current })
	k.behind = false // what is not sealed is taken until the end of the process: there may be readers of a state that had it
	k.log.Info("the store is sealed with one key", "key", current, "resealed", k.resealed)
	retired, err := seal.Retire(k.path, current)
	if err != nil { // it may be on a disk that cannot be written to
		k.log.Info("keys that are not needed any more stay in the file", "file", k.path, "error", err)
	}
	if k.resealed > 0 || retired { // or a process before this one sealed it, and came no further
		k.trail.Write(&audit.Entry{Actor: audit.Server, Role: audit.Server, Operation: "reseal", Outcome: audit.Done})
	}
	k.resealed = 0
	return nil
}

// read reads the file when it changed. Nothing is sealed with a key that is not on the disk, nor while one that is needed is not there: whatever
// happens, the next process can go on.
func (k *keeper) read() error {
	now, err := os.Stat(k.path)
	if err != nil || durable.Same(k.seen, now) {
		return err
	}
	file, err := seal.ReadFile(k.path)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(k.needed, func(key seal.Key) bool { return !slices.Contains(file.Keys, key) }) {
		if file, err = seal.Keep(k.path, k.needed...); err != nil {
			return fmt.Errorf("the key %s, which the store is sealed with, is not in the file and cannot be put there: %w", k.keys.Current(), err)
		}
		if now, err = os.Stat(k.path); err != nil {
			return err
		}
	} else if err := durable.Sync(k.path); err != nil {
		return err
	}
	k.keys.Use(file.Keys...) // those of before still open what somebody reads
	k.behind = k.behind || len(file.Keys) > 1
	k.seen, k.needed = now, file.Keys
	k.log.Info("the key file was read", "file", k.path, "key", k.keys.Current())
	return nil
}
