package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
	k := []byte(key)
	stored := s.keys.Get(k)
	if stored == nil {
		return store.KV{Key: key}, false, nil
	}
	revision, value, err := unframe(k, stored)
	return store.KV{Key: key, Value: value, Revision: revision}, err == nil, err
}

func (s snapshot) Range(prefix string) iter.Seq2[store.KV, error] {
	return func(yield func(store.KV, error) bool) {
		for k, v := range below(s.keys, prefix) {
			revision, value, err := unframe(k, v)
			if !yield(store.KV{Key: string(k), Value: value, Revision: revision}, err) || err != nil {
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
		return revisionOf(keys.Get([]byte(c.Key))) == c.Revision
	}
	for _, v := range below(keys, c.Key) {
		if revisionOf(v) > c.Revision {
			return false
		}
	}
	return true
}

// framed is what stands before a value: the revision that wrote it in 8 bytes, and in 4 a checksum of all three.
const framed = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// frame makes what is stored for a key.
func frame(key []byte, revision uint64, value []byte) []byte {
	stored := make([]byte, 8, framed+len(value))
	binary.BigEndian.PutUint64(stored, revision)
	stored = binary.BigEndian.AppendUint32(stored, checksum(key, stored, value))
	return append(stored, value...)
}

// unframe takes apart what is stored for a key, and refuses what is not what was written.
func unframe(key, stored []byte) (revision uint64, value []byte, err error) {
	if len(stored) < framed || checksum(key, stored[:8], stored[framed:]) != binary.BigEndian.Uint32(stored[8:]) {
		return 0, nil, fmt.Errorf("%w: what is stored for %q is not what was written", store.ErrDamaged, key)
	}
	return revisionOf(stored), stored[framed:], nil
}

// revisionOf is the revision of what is stored for a key; 0 when nothing is.
func revisionOf(stored []byte) uint64 {
	if len(stored) < framed {
		return 0
	}
	return binary.BigEndian.Uint64(stored)
}

// checksumOf is what a key adds to the sum of all.
func checksumOf(stored []byte) uint64 {
	if len(stored) < framed {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(stored[8:]))
}

// state is what an engine knows beside keys and log. It changes with each commit.
type state struct {
	revision uint64 // of the last commit
	sum      uint64 // of the checksums of all keys: tells when one is missing
	total    int64  // bytes that all commits ever took in the log
}

func stateOf(tx *bbolt.Tx) (state, error) { return decodeState(tx.Bucket(metaBucket).Get(stateKey)) }

func (s state) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.revision)
	b = binary.BigEndian.AppendUint64(b, s.sum)
	b = binary.BigEndian.AppendUint64(b, uint64(s.total)) //nolint:gosec // never negative
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func decodeState(b []byte) (state, error) {
	if len(b) != 28 || checksum(b[:24]) != binary.BigEndian.Uint32(b[24:]) {
		return state{}, fmt.Errorf("%w: its revision cannot be read", store.ErrDamaged)
	}
	total := int64(binary.BigEndian.Uint64(b[16:])) //nolint:gosec // as it was encoded
	return state{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), total}, nil
}
