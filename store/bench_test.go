package store_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/memory"
)

// BenchmarkUpdate changes executors of about 5 KB, each by one of as many writers: on disk, and in memory for comparison.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d/bolt", writers), func(b *testing.B) {
			engine, err := bolt.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = engine.Close() }()
			benchmarkUpdate(b, engine, writers)
			// Each transaction of bbolt syncs twice.
			if s := engine.Stats(); s.Commits > 0 {
				b.ReportMetric(2*float64(s.Transactions)/float64(s.Commits), "syncs/commit")
			}
		})
		b.Run(fmt.Sprintf("writers=%d/memory", writers), func(b *testing.B) {
			benchmarkUpdate(b, memory.New(store.DefaultHistory), writers)
		})
	}
}

func benchmarkUpdate(b *testing.B, engine store.Engine, writers int) {
	st, err := store.New(engine, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range writers {
		cfg := &executor.ExecutorConfig{Common: executor.Common{ID: fmt.Sprintf("x%d", i)}, Annotations: map[string]string{}}
		for n := range 40 {
			cfg.Annotations[fmt.Sprintf("annotation-%d", n)] = strings.Repeat("v", 100)
		}
		if _, err := st.CreateExecutor(b.Context(), cfg, nil); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	b.SetParallelism((writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	if writers == 1 {
		for i := 0; b.Loop(); i++ {
			benchmarkWrite(b, st, "x0", i)
		}
		return
	}
	b.RunParallel(func(p *testing.PB) {
		id := fmt.Sprintf("x%d", next.Add(1)%int64(writers))
		for i := 0; p.Next(); i++ {
			benchmarkWrite(b, st, id, i)
		}
	})
}

func benchmarkWrite(b *testing.B, st *store.Store, id string, i int) {
	_, err := st.UpdateExecutor(context.Background(), id, func(c *executor.ExecutorConfig) error {
		c.Hostname = fmt.Sprint("h", i)
		return nil
	})
	if err != nil {
		b.Error(err)
	}
}
