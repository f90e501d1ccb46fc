package store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"
)

// Engine is what the store is built on: a small ordered map of bytes with revisions. It is what
// etcd gives, and what an embedded database can be made to give in few lines; package storetest holds engines to it.
type Engine interface {
	// View runs fn on the state at one revision. fn must not commit.
	View(ctx context.Context, fn func(Snapshot) error) error
	// Commit makes all changes of t under the next revision, or none of them. They are durable when it returns.
	// When a compare fails nothing is written, and the error is ErrConflict; nor is anything when ctx has ended before
	// the commit began, or there is no room: ErrNoSpace. After any other error the outcome is unknown until the next View.
	// Commits that come together may become durable together; each has its own revision and its own error.
	Commit(ctx context.Context, t Txn) (revision uint64, err error)
	// Watch gives every commit after a revision, in order, without gap or duplicate, and then those to come, until
	// ctx or the engine ends: the last element has the error. ErrCompacted: the history begins later, at the start or
	// because the reader fell behind it. ErrFuture: that revision has not been. A slow reader delays nobody.
	Watch(ctx context.Context, after uint64) iter.Seq2[Change, error]
	// Close ends all watches, and waits for views and commits. It may be called again.
	Close() error
}

// Snapshot is the state at one revision. Values must not be changed, nor kept beyond the View.
type Snapshot interface {
	Revision() uint64
	Get(key string) (kv KV, found bool, err error)
	// Range gives the keys that begin with prefix, in order.
	Range(prefix string) iter.Seq2[KV, error]
}

// KV is a key with its value and the revision of the commit that last wrote it.
type KV struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Txn is a change of several keys that happens whole or not at all.
type Txn struct {
	Compare []Compare
	Ops     []Op
	Event   []byte // what a Watch gives of it
}

// Size is about how many bytes a transaction holds.
func (t *Txn) Size() int {
	size := len(t.Event)
	for _, op := range t.Ops {
		size += len(op.Key) + len(op.Value)
	}
	return size
}

// What an engine takes, in bytes.
const (
	MaxKey = 32 << 10
	MaxTxn = 1 << 30
)

// Check refuses what no engine takes: a key that is empty or too long, or too much at once.
func (t *Txn) Check() error {
	for _, op := range t.Ops {
		if len(op.Key) == 0 || len(op.Key) > MaxKey {
			return fmt.Errorf("a key of %d bytes cannot be stored", len(op.Key))
		}
	}
	if t.Size() > MaxTxn {
		return fmt.Errorf("a transaction of %d bytes cannot be made", t.Size())
	}
	return nil
}

// Compare must hold for a transaction to happen.
type Compare struct {
	Key string
	// Prefix: no key that begins with Key was written after Revision. (A key that was deleted does not count:
	// a prefix guards against additions.) Otherwise the key's own revision is Revision exactly; 0 means that there is none.
	Prefix   bool
	Revision uint64
}

// Op writes a key, or deletes it when Value is nil.
type Op struct {
	Key   string
	Value []byte
}

// Change is a commit as a watch gives it.
type Change struct {
	Revision uint64
	Event    []byte
}

// History is how far back a watch can go at least: that many commits or that long, whichever is longer, unless it would take
// more bytes. It has the last commit at least. What is older goes with the commits that come, and by itself when none do.
type History struct {
	Commits uint64
	Age     time.Duration
	Bytes   int64 // of events and what is noted beside each; 0 is no bound
}

// DefaultHistory is what engines keep when nobody says otherwise.
var DefaultHistory = History{Commits: 100_000, Age: 15 * time.Minute, Bytes: 256 << 20}

// Exceeds reports whether a history is longer than it has to be: it has that many commits and bytes, and its first commit is that
// old. A negative age is that of a clock which was set back; it counts as old.
func (h History) Exceeds(commits uint64, bytes int64, age time.Duration) bool {
	if commits <= 1 {
		return false
	}
	return h.Bytes > 0 && bytes > h.Bytes || commits > h.Commits && (age >= h.Age || age < 0)
}

// Backuper is an engine whose data can be copied while it works.
type Backuper interface {
	// Backup writes the state at one revision to what begin gives, which is called with the number of bytes to come. An error of
	// begin ends it. What was written is whole when the error is nil.
	Backup(ctx context.Context, begin func(size int64) (io.Writer, error)) error
}

// Rewriter is an engine whose values can be put into another form.
type Rewriter interface {
	// Rewrite stores, for each key whose value is stale, what fresh makes of it. That means the same: no commit is made, the revisions of
	// keys stay, and no watch hears of it. Others read and write meanwhile; what they write is theirs to have in the new form. When it
	// returns without an error it is durable, and the data have no copy of what was stale; otherwise a part of it may be done. It
	// answers how many values it rewrote.
	Rewrite(ctx context.Context, stale func(key string, value []byte) bool, fresh func(key string, value []byte) ([]byte, error)) (int, error)
}
