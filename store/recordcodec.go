package store

import (
	"sync"

	"github.com/vmexecutor/config-server/store/seal"
)

// recordRoom is how much is kept decoded, in bytes as the engine has it: some 3,500 executors of 5 KB, which take twice as much.
const recordRoom = 16 << 20

// recordCodec reads and writes records, sealed with the store's keys, and keeps what was decoded. A record never changes at its revision,
// so nobody has to tell of changes here: what is kept is what decoding would give, or it is of another revision and not used. Records
// that are kept are shared: nobody changes them.
type recordCodec struct {
	keys *seal.Keys
	mu   sync.Mutex
	room int // that is left, in bytes
	kept map[string]keptRecord
}

type keptRecord struct {
	record   record
	revision uint64
	size     int
}

func newRecordCodec(keys *seal.Keys, room int) *recordCodec {
	return &recordCodec{keys: keys, room: room, kept: map[string]keptRecord{}}
}

// recordOf is a pointer to a record of a kind.
type recordOf[R any] interface {
	*R
	record
}

// shared gives the record of a key, which nobody may change.
func shared[R any, P recordOf[R]](c *recordCodec, kv KV) (P, error) {
	rec, err := peek[R, P](c, kv)
	if err == nil {
		c.keep(kv, rec)
	}
	return rec, err
}

// peek is shared, but keeps nothing: whoever goes through all records would push out those that are read.
func peek[R any, P recordOf[R]](c *recordCodec, kv KV) (P, error) {
	if kept, ok := c.get(kv).(P); ok {
		return kept, nil
	}
	rec := P(new(R))
	if err := c.decode(kv, rec); err != nil {
		return nil, err
	}
	return rec, nil
}

func (c *recordCodec) get(kv KV) record {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.kept[kv.Key]; ok && k.revision == kv.Revision {
		return k.record
	}
	return nil
}

// keep keeps a record in place of an older one of its key. When there is no room, any others go: whoever reads all records again and
// again then finds a part of them, where the ones that were used longest ago would always be those that come next.
func (c *recordCodec) keep(kv KV, r record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.kept[kv.Key]
	if old.revision >= kv.Revision {
		return
	}
	size := len(kv.Key) + len(kv.Value)
	c.kept[kv.Key] = keptRecord{r, kv.Revision, size}
	c.room += old.size - size
	for key, k := range c.kept {
		if c.room >= 0 {
			return
		}
		delete(c.kept, key)
		c.room += k.size
	}
}
