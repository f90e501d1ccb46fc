// Package store holds executors, container networks and VM bindings: typed, validated, under one
// revision for every commit, with one feed of what happened. It is the truth about configuration.
//
// The store itself is written once, above a small Engine; store/bolt is the embedded one. Records reach an engine sealed (store/seal). Packages push,
// handlers and app use it; it imports the domain and the codec.
package store

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store/seal"
)

// Options are what a Store works with. The zero value will do.
type Options struct {
	Now    func() time.Time // the clock; time.Now
	Logger *slog.Logger     // nil discards
	Keys   *seal.Keys       // that records are sealed with; without them a key that is gone when the process ends
	// Committed is told of each commit once it is durable, in the context of whoever made it: the event with its revision, and the revision at which what it is about
	// had changed last; 0 when that was not there, or the commit changed nothing of it. nil for nobody.
	Committed func(ctx context.Context, e Event, before uint64)
	// Lists that are read in pages stay as they stood at the first page. What that takes, the keys of what is to come and what was written
	// over, is kept in this many bytes together (128 MiB), and for each list for this long after its last page (5m). When there is no room the one that was used least recently is dropped.
	ListMemory int
	ListIdle   time.Duration
}

// Store is the typed store. All methods may be called at the same time; each change is one commit, durable
// when it is answered, and a change that changes nothing commits nothing.
type Store struct {
	engine   Engine
	codec    *extraconfig.Codec[executor.ExecutorConfig]
	reports  map[string]bool // the fields whose values events tell
	now      func() time.Time
	listings *listings
	records  *recordCodec
	sealing  sync.RWMutex // held by each change from before it seals until it is committed
	hub      *hub

	committed func(context.Context, Event, uint64)
}

// New makes a store of what an engine holds. The engine stays the caller's to close.
func New(e Engine, o Options) (*Store, error) {
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		return nil, err
	}
	o.defaults()
	return &Store{
		engine: e, codec: codec, reports: reportFields(codec.Fields()), now: o.Now, hub: newHub(e), records: newRecordCodec(o.Keys, recordRoom),
		listings: &listings{memory: o.ListMemory, idle: o.ListIdle, log: o.Logger, all: map[string]*listing{}}, committed: o.Committed,
	}, nil
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Committed == nil {
		o.Committed = func(context.Context, Event, uint64) {}
	}
	if o.Keys == nil {
		o.Keys = seal.NewKeys()
	}
	if o.ListMemory == 0 {
		o.ListMemory = 128 << 20
	}
	if o.ListIdle == 0 {
		o.ListIdle = 5 * time.Minute
	}
}

// Codec gives the codec of executors.
func (s *Store) Codec() *extraconfig.Codec[executor.ExecutorConfig] { return s.codec }

// Revision gives that of the last commit.
func (s *Store) Revision(ctx context.Context) (revision uint64, err error) {
	err = s.engine.View(ctx, func(snap Snapshot) error {
		revision = snap.Revision()
		return nil
	})
	return revision, err
}

// Backup writes all that the store holds at one revision to what begin gives, as Backuper says. Errors: ErrNoBackup.
func (s *Store) Backup(ctx context.Context, begin func(size int64) (io.Writer, error)) error {
	b, ok := s.engine.(Backuper)
	if !ok {
		return ErrNoBackup
	}
	return b.Backup(ctx, begin)
}

// KeySet gives the key set that an executor's VM should hold.
func (s *Store) KeySet(e *Executor) (extraconfig.KeySet, error) {
	return s.codec.Encode(e.Config, extraconfig.WithSecretKey(e.SecretKey))
}
