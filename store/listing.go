package store

import (
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

// listing is what later pages of a list are made of: the records that they show, as they stood at the first page. It is
// a Snapshot of those alone.
type listing struct {
	id       string
	revision uint64
	filters  string
	items    []string      // the keys of the records, in order
	kept     map[string]KV // what reading them takes
	size     int           // of what is kept, in bytes
	used     time.Time
}

var _ Snapshot = (*listing)(nil)

// Revision implements Snapshot.
func (l *listing) Revision() uint64 { return l.revision }

// Get implements Snapshot.
func (l *listing) Get(key string) (KV, bool, error) {
	kv, found := l.kept[key]
	return kv, found, nil
}

// Range implements Snapshot.
func (l *listing) Range(prefix string) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(l.kept)) {
			if strings.HasPrefix(key, prefix) && !yield(l.kept[key], nil) {
				return
			}
		}
	}
}

// add notes a record that a later page shows. What container networks they follow is not known of records that were
// not read, so the first one brings all; beside names what else it takes, where there is anything.
func (l *listing) add(snap Snapshot, kv KV, beside func(KV) string) error {
	if len(l.items) == 0 {
		networks, err := collect(snap, networkKey(""))
		if err != nil {
			return err
		}
		for _, n := range networks {
			l.keep(n)
		}
	}
	l.items = append(l.items, kv.Key)
	kv.Value = slices.Clone(kv.Value)
	l.keep(kv)
	if beside == nil {
		return nil
	}
	other, found, err := snap.Get(beside(kv))
	if found {
		other.Value = slices.Clone(other.Value)
		l.keep(other)
	}
	return err
}

// overhead is about what a key takes beside its text and value.
const overhead = 128

func (l *listing) keep(kv KV) {
	if _, twice := l.kept[kv.Key]; !twice {
		l.size += len(kv.Key) + len(kv.Value) + overhead
	}
	l.kept[kv.Key] = kv
}

// place tells a client where a page begins.
func (l *listing) place(item int) string { return fmt.Sprintf("%s.%d", l.id, item) }

// listings are the lists that are being read in pages. They are dropped when nobody asked for a page for a while, and
// the one that was used least recently when they take too much memory: then its reader begins again.
type listings struct {
	memory int // they may take, in bytes
	idle   time.Duration
	log    *slog.Logger

	mu   sync.Mutex
	all  map[string]*listing
	size int
}

// add keeps a list, and tells where its next page begins.
func (s *listings) add(l *listing, now time.Time) string {
	l.id, l.used = hex.EncodeToString(random(16)), now
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	for s.size+l.size > s.memory {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.all)), func(a, b *listing) int { return a.used.Compare(b.used) })
		s.drop(oldest)
		s.log.Warn("a list that was being read in pages was dropped to make room for another", "unused", now.Sub(oldest.used), "bytes", oldest.size)
	}
	s.all[l.id] = l
	s.size += l.size
	return l.place(0)
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

// expire drops the lists that nobody goes on with. There is no timer: what is left over is bounded, and goes with the next list.
func (s *listings) expire(now time.Time) {
	for _, l := range s.all {
		if now.Sub(l.used) > s.idle {
			s.drop(l)
		}
	}
}

func (s *listings) drop(l *listing) {
	delete(s.all, l.id)
	s.size -= l.size
}
