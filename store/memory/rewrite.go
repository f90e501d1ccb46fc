package memory

import (
	"context"

	"github.com/vmexecutor/config-server/store"
)

// Rewrite implements store.Rewriter.
func (e *Engine) Rewrite(ctx context.Context, stale func(key string, value []byte) bool, fresh func(key string, value []byte) ([]byte, error)) (rewritten int, err error) {
	_, end, err := e.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	e.mu.Lock()
	defer e.mu.Unlock()
	next := &state{e.state.revision, e.state.keys.Clone()}
	e.state.keys.Ascend(func(kv store.KV) bool {
		if !stale(kv.Key, kv.Value) {
			return true
		}
		if kv.Value, err = fresh(kv.Key, kv.Value); err != nil {
			return false
		}
		next.keys.ReplaceOrInsert(kv)
		rewritten++
		return true
	})
	if err != nil {
		return 0, err
	}
	e.state = next
	return rewritten, nil
}
