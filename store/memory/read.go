package memory

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/vmexecutor/config-server/store"
)

// Revision implements store.Snapshot.
func (s *state) Revision() uint64 { return s.revision }

// Get implements store.Snapshot.
func (s *state) Get(key string) (store.KV, bool, error) {
	kv, found := s.keys.Get(store.KV{Key: key})
	kv.Key = key
	return kv, found, nil
}

// Range implements store.Snapshot.
func (s *state) Range(prefix string) iter.Seq2[store.KV, error] {
	return func(yield func(store.KV, error) bool) {
		s.keys.AscendGreaterOrEqual(store.KV{Key: prefix}, func(kv store.KV) bool {
			return strings.HasPrefix(kv.Key, prefix) && yield(kv, nil)
		})
	}
}

func (s *state) holds(c store.Compare) bool {
	if !c.Prefix {
		kv, _ := s.keys.Get(store.KV{Key: c.Key})
		return kv.Revision == c.Revision
	}
	for kv, err := range s.Range(c.Key) {
		if err != nil || kv.Revision > c.Revision {
			return false
		}
	}
	return true
}

// batch is how many commits a watch takes at once.
const batch = 256

// Watch implements store.Engine.
func (e *Engine) Watch(ctx context.Context, after uint64) iter.Seq2[store.Change, error] {
	return store.Follow(ctx, after, e.closed, e.since)
}

// since gives some commits after a revision, and what is closed at the next one.
func (e *Engine) since(after uint64) (changes []store.Change, wake <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return nil, nil, store.ErrClosed
	default:
	}
	e.trim() // what became too old while nobody wrote
	switch {
	case after > e.state.revision:
		return nil, nil, fmt.Errorf("watch from revision %d, when the last is %d: %w", after, e.state.revision, store.ErrFuture)
	case after == e.state.revision:
		return nil, e.commit, nil
	case after+1 < e.log[0].Revision:
		return nil, nil, fmt.Errorf("watch from revision %d: %w", after, store.ErrCompacted)
	}
	from := int(after + 1 - e.log[0].Revision) //nolint:gosec // it is within the log
	for _, l := range e.log[from:min(from+batch, len(e.log))] {
		changes = append(changes, l.Change)
	}
	return changes, e.commit, nil
}
