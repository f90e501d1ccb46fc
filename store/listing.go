package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// listing is a list that is being read in pages: which records it has, and what was written over since its first page.
type listing struct {
	id       string
	revision uint64
	filters  string
	items    []string // the keys of the records that later pages show, in order

	// The rest is under the lock of the listings.
	was  map[string]KV // records as they stood at the revision, of those that are not so any more
	size int           // of the keys and of what was written over, in bytes
	used time.Time
}

// overhead is about what a key takes beside its text and value.
const overhead = 128

// listings are the lists that are being read in pages. They are dropped when nobody asked for a page for a while, and
// the one that was used least recently when they take too much memory: then its reader begins again.
type listings struct {
	memory int // they may take, in bytes
	idle   time.Duration
	log    *slog.Logger

	// changing is held for reading by each change from before it looks at the store until its commit, and alone by a list while it
	// begins: a change either is in the list, or notes what it writes over.
	changing sync.RWMutex

	mu   sync.Mutex
	all  map[string]*listing
	size int
}

// viewList has fn look at the revision at which a list begins. From there on, what is written over is noted for it.
func (s *Store) viewList(ctx context.Context, l *listing, fn func(Snapshot) error) error {
	s.listings.changing.Lock()
	begun := sync.OnceFunc(s.listings.changing.Unlock)
	defer begun()
	return s.engine.View(ctx, func(snap Snapshot) error {
		l.revision = snap.Revision()
		s.listings.begin(l, s.now())
		begun()
		return fn(snap)
	})
}

func (s *listings) begin(l *listing, now time.Time) {
	l.id, l.used, l.was = hex.EncodeToString(random(16)), now, map[string]KV{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	s.all[l.id] = l
}

// keep keeps what later pages show, and tells where the next one begins.
func (s *listings) keep(l *listing, items []string, now time.Time) (place string, err error) {
	size := 0
	for _, key := range items {
		size += len(key) + overhead
	}
	if size > s.memory {
		return "", ErrTooLong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.items, l.used = items, now
	s.grow(l, size)
	return l.place(0), nil
}

// grow counts what a list takes, and drops others, or it, when that is too much.
func (s *listings) grow(l *listing, size int) {
	if s.all[l.id] != l {
		return
	}
	l.size += size
	s.size += size
	for s.size > s.memory {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.all)), func(a, b *listing) int {
			return cmp.Or(a.used.Compare(b.used), strings.Compare(a.id, b.id))
		})
		s.drop(oldest)
		s.log.Warn("a list that was being read in pages was dropped for want of room", "bytes", oldest.size)
	}
}

// at finds the list and the item where a page begins. A page that was given may be asked for again.
func (s *listings) at(place string, now time.Time) (l *listing, item int, err error) {
	id, number, _ := strings.Cut(place, ".")
	item, err = strconv.Atoi(number)
	if err != nil || item < 0 || len(id) != 32 {
		return nil, 0, ErrContinue
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	l = s.all[id]
	switch {
	case l == nil:
		return nil, 0, ErrExpired
	case item >= len(l.items):
		return nil, 0, ErrContinue
	}
	l.used = now
	return l, item, nil
}

// place tells a client where a page begins.
func (l *listing) place(item int) string { return fmt.Sprintf("%s.%d", l.id, item) }

// expire drops the lists that nobody goes on with. There is no timer: what is left over is bounded, and goes with the next list.
func (s *listings) expire(now time.Time) {
	for _, l := range s.all {
		if now.Sub(l.used) > s.idle {
			s.drop(l)
		}
	}
}

// end drops a list that has no more pages.
func (s *listings) end(l *listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(l)
}

func (s *listings) drop(l *listing) {
	if s.all[l.id] == l {
		delete(s.all, l.id)
		s.size -= l.size
	}
}

// live reports whether what is written over is still noted for a list.
func (s *listings) live(l *listing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[l.id] == l
}

// note keeps what a change is about to write over, for the lists that show it as it was.
func (s *listings) note(t *txn, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	for _, op := range t.ops {
		if len(s.all) == 0 || !listed(op.Key) {
			continue
		}
		kv, found, err := t.snap.Get(op.Key)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		kv.Value = slices.Clone(kv.Value)
		for _, l := range s.all {
			if _, noted := l.was[kv.Key]; !noted && kv.Revision <= l.revision {
				l.was[kv.Key] = kv
				s.grow(l, len(kv.Key)+len(kv.Value)+overhead)
			}
		}
	}
	return nil
}

// listed reports whether reading the items of lists takes a key.
func listed(key string) bool {
	for _, prefix := range []string{executorKey(""), networkKey(""), bindingKey(""), bootsKey("")} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// past is a Snapshot of the revision of a list, made of a later one.
type past struct {
	Snapshot
	all  *listings
	list *listing
}

// Revision implements Snapshot.
func (p past) Revision() uint64 { return p.list.revision }

// Get implements Snapshot, for keys that are listed.
func (p past) Get(key string) (KV, bool, error) {
	kv, found, err := p.Snapshot.Get(key)
	if err != nil || found && kv.Revision <= p.list.revision {
		return kv, found, err
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	kv, found = p.list.was[key]
	return kv, found, nil
}

// Range implements Snapshot, for keys that are listed.
func (p past) Range(prefix string) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		keys := map[string]bool{}
		for kv, err := range p.Snapshot.Range(prefix) {
			if err != nil {
				yield(KV{}, err)
				return
			}
			keys[kv.Key] = true
		}
		p.all.mu.Lock()
		for key := range p.list.was {
			keys[key] = keys[key] || strings.HasPrefix(key, prefix)
		}
		p.all.mu.Unlock()
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !keys[key] {
				continue
			}
			if kv, found, err := p.Get(key); (err != nil || found) && !yield(kv, err) {
				return
			}
		}
	}
}
