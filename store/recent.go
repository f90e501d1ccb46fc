package store

import "sync"

// recent keeps the executors' records that were read last as they were decoded: decoding one takes longer than all else that a read
// does. A record is known by its key and revision, so what is kept is never out of date. It is shared by all who read it.
//
// There are two generations. When the young one is full it becomes the old one, and what is not read again is gone with the next.
type recent struct {
	limit int // of a generation, in bytes of the records as they are stored

	mu         sync.Mutex
	young, old map[string]decoded
	size       int // of the young
}

type decoded struct {
	revision uint64
	size     int
	record   *executorRecord
}

// get gives the record of a key and its value; nil when it is not kept.
func (r *recent) get(kv KV) *executorRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, found := r.young[kv.Key]
	if !found {
		if d, found = r.old[kv.Key]; found {
			delete(r.old, kv.Key)
			r.keep(kv.Key, d)
		}
	}
	if !found || d.revision != kv.Revision {
		return nil
	}
	return d.record
}

func (r *recent) add(kv KV, record *executorRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(kv.Key, decoded{kv.Revision, len(kv.Value), record})
}

func (r *recent) keep(key string, d decoded) {
	if r.size+d.size > r.limit || r.young == nil {
		r.young, r.old, r.size = map[string]decoded{}, r.young, 0
	}
	r.size += d.size - r.young[key].size
	r.young[key] = d
}
