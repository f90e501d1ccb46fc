package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// rewritingIsNoChange: values get another form while others read, write and watch. Revisions stay, and no watch hears of it.
func rewritingIsNoChange(t *testing.T, s *suite) {
	engine, ok := s.Engine.(store.Rewriter)
	if !ok {
		t.Fatal("the engine is no Rewriter")
	}
	const keys = 300
	long := strings.Repeat("x", 10_000) // several transactions
	for i := range keys {
		s.put(fmt.Sprintf("old/%03d", i), "1"+long)
	}
	s.put("beside", "beside")
	before, revision := s.dump("")

	var ended atomic.Bool
	var others sync.WaitGroup
	written := 0
	others.Go(func() { // in the new form, as who rewrites asks
		for !ended.Load() {
			if _, err := s.Commit(context.Background(), store.Txn{Ops: []store.Op{{Key: fmt.Sprintf("old/%03d", written%50), Value: []byte("2changed")}}, Event: []byte("e")}); err != nil {
				t.Error(err)
				return
			}
			written++
		}
	})
	others.Go(func() {
		for !ended.Load() {
			all, _ := s.dump("old/")
			if len(all) != keys {
				t.Errorf("there are %d keys", len(all))
				return
			}
		}
	})
	stale := func(_ string, value []byte) bool { return len(value) > 0 && value[0] == '1' }
	n, err := engine.Rewrite(t.Context(), stale, func(key string, value []byte) ([]byte, error) {
		if !strings.HasPrefix(key, "old/") {
			t.Errorf("%s is not stale", key)
		}
		return append([]byte("2"), value[1:]...), nil
	})
	ended.Store(true)
	others.Wait()
	if err != nil || n > keys || n < keys-50 {
		t.Fatalf("%d were rewritten: %v", n, err)
	}
	after, now := s.dump("")
	if now != revision+uint64(written) {
		t.Errorf("after %d commits the revision went from %d to %d", written, revision, now)
	}
	changed := 0
	for i, kv := range after {
		switch {
		case strings.Contains(kv, "=2changed@"):
			changed++
		case strings.Replace(kv, "=2", "=1", 1) != before[i] && kv != before[i]:
			t.Errorf("%.40s was %.40s", kv, before[i])
		case strings.Contains(kv, "=1"):
			t.Errorf("%.40s is stale", kv)
		}
	}
	if changed != min(written, 50) {
		t.Errorf("of what was written meanwhile %d keys are there, want %d", changed, min(written, 50))
	}
	s.reopen()
	if reopened, _ := s.dump(""); !slices.Equal(reopened, after) {
		t.Error("opened again it holds something else")
	}
}

// rewritingMayFail: what cannot be rewritten stays as it is, and the engine goes on.
func rewritingMayFail(t *testing.T, s *suite) {
	engine, ok := s.Engine.(store.Rewriter)
	if !ok {
		t.Fatal("the engine is no Rewriter")
	}
	s.put("a", "1")
	s.put("b", "1")
	before, _ := s.dump("")
	wrong := errors.New("wrong")
	all := func(string, []byte) bool { return true }
	if _, err := engine.Rewrite(t.Context(), all, func(key string, value []byte) ([]byte, error) {
		if key == "b" {
			return nil, wrong
		}
		return bytes.Clone(value), nil
	}); !errors.Is(err, wrong) {
		t.Errorf("the error is %v", err)
	}
	if after, _ := s.dump(""); !slices.Equal(after, before) {
		t.Errorf("it holds %v", after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.Rewrite(ctx, all, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
	s.put("a", "2")
}
