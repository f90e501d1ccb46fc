package store

import (
	"context"
	"iter"
)

// Engine is what the store is built on: a small ordered map of bytes with revisions. It is what
// etcd gives, and what an embedded database can be made to give in few lines; package storetest holds engines to it.
type Engine interface {
	// View runs fn on the state at one revision. fn must not commit.
	View(ctx context.Context, fn func(Snapshot) error) error
	// Commit makes all changes of t under the next revision, or none of them. They are durable when it returns.
	// When a compare fails nothing is written, and the error is ErrConflict; nor is anything when ctx has ended before
	// the commit began. After any other error the outcome is unknown until the next View.
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
