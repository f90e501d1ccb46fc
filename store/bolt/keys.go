package bolt

import (
	"bytes"
	"encoding/binary"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// snapshot reads inside one bbolt transaction.
type snapshot struct {
	keys     *bbolt.Bucket
	revision uint64
}

func (s snapshot) Revision() uint64 { return s.revision }

func (s snapshot) Get(key string) (store.KV, bool, error) {
	revision, value := split(s.keys.Get([]byte(key)))
	return store.KV{Key: key, Value: value, Revision: revision}, revision > 0, nil
}

func (s snapshot) Range(prefix string) iter.Seq2[store.KV, error] {
	return func(yield func(store.KV, error) bool) {
		for k, v := range below(s.keys, prefix) {
			revision, value := split(v)
			if !yield(store.KV{Key: string(k), Value: value, Revision: revision}, nil) {
				return
			}
		}
	}
}

// below gives the keys that begin with a prefix and what is stored for them.
func below(keys *bbolt.Bucket, prefix string) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		begin, cursor := []byte(prefix), keys.Cursor()
		for k, v := cursor.Seek(begin); k != nil && bytes.HasPrefix(k, begin); k, v = cursor.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

func holds(keys *bbolt.Bucket, c store.Compare) bool {
	if !c.Prefix {
		revision, _ := split(keys.Get([]byte(c.Key)))
		return revision == c.Revision
	}
	for _, v := range below(keys, c.Key) {
		if revision, _ := split(v); revision > c.Revision {
			return false
		}
	}
	return true
}

func apply(keys *bbolt.Bucket, op store.Op, revision uint64) error {
	if op.Value == nil {
		return keys.Delete([]byte(op.Key))
	}
	stored := make([]byte, 0, 8+len(op.Value))
	stored = binary.BigEndian.AppendUint64(stored, revision)
	return keys.Put([]byte(op.Key), append(stored, op.Value...))
}

// number is a revision as it is stored: its order is that of its bytes.
func number(revision uint64) []byte { return binary.BigEndian.AppendUint64(nil, revision) }

// revisionOfKey reads a key of the log.
func revisionOfKey(k []byte) uint64 { return binary.BigEndian.Uint64(k) }

// split takes the revision off what is stored for a key; 0 when nothing is.
func split(stored []byte) (uint64, []byte) {
	if len(stored) < 8 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(stored), stored[8:]
}

// revisionOf is that of the last commit.
func revisionOf(tx *bbolt.Tx) uint64 {
	revision, _ := split(tx.Bucket(metaBucket).Get(revisionKey))
	return revision
}
