package push

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/vmexecutor/config-server/store"
)

// memory is an engine that keeps nothing on disk: thousands of commits take no time. It outlives the reconcilers that a test
// starts and stops on it.
type memory struct {
	mu        sync.RWMutex
	keys      map[string]store.KV
	log       [][]byte
	committed chan struct{} // closed and replaced at each commit
}

var _ store.Engine = (*memory)(nil)

func newMemory() *memory {
	return &memory{keys: map[string]store.KV{}, committed: make(chan struct{})}
}

func (m *memory) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fn(memorySnapshot{m})
}

func (m *memory) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range t.Compare {
		if !m.holds(c) {
			return 0, store.ErrConflict
		}
	}
	m.log = append(m.log, slices.Clone(t.Event))
	revision := uint64(len(m.log))
	for _, op := range t.Ops {
		if op.Value == nil {
			delete(m.keys, op.Key)
		} else {
			m.keys[op.Key] = store.KV{Key: op.Key, Value: slices.Clone(op.Value), Revision: revision}
		}
	}
	close(m.committed)
	m.committed = make(chan struct{})
	return revision, nil
}

func (m *memory) holds(c store.Compare) bool {
	if !c.Prefix {
		return m.keys[c.Key].Revision == c.Revision
	}
	for key, kv := range m.keys {
		if strings.HasPrefix(key, c.Key) && kv.Revision > c.Revision {
			return false
		}
	}
	return true
}

func (m *memory) Watch(ctx context.Context, after uint64) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for {
			m.mu.RLock()
			log, next := m.log, m.committed
			m.mu.RUnlock()
			for ; after < uint64(len(log)); after++ {
				if !yield(store.Change{Revision: after + 1, Event: log[after]}, nil) {
					return
				}
			}
			select {
			case <-next:
			case <-ctx.Done():
				yield(store.Change{}, ctx.Err())
				return
			}
		}
	}
}

func (m *memory) Close() error { return nil }

type memorySnapshot struct{ *memory }

func (s memorySnapshot) Revision() uint64 { return uint64(len(s.log)) }

func (s memorySnapshot) Get(key string) (store.KV, bool, error) {
	kv, ok := s.keys[key]
	return kv, ok, nil
}

func (s memorySnapshot) Range(prefix string) iter.Seq2[store.KV, error] {
	return func(yield func(store.KV, error) bool) {
		var keys []string
		for key := range s.keys {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			if !yield(s.keys[key], nil) {
				return
			}
		}
	}
}
