package bolt

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// filled opens a store with a history and keys, made in one go.
func filled(tb testing.TB, commits, keys int) *Engine {
	tb.Helper()
	e, err := Open(tb.TempDir(), WithHistory(store.History{Commits: uint64(max(commits, 1)), Bytes: 1 << 40}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	event := bytes.Repeat([]byte("e"), 300)
	err = e.update(func(tx *bbolt.Tx) error {
		c, err := begin(tx, time.Now())
		if err != nil {
			return err
		}
		for range commits {
			if err := c.commit(store.Txn{Event: event}); err != nil {
				return err
			}
		}
		for i := range keys {
			op := store.Op{Key: fmt.Sprintf("executor/%08d", i), Value: bytes.Repeat(event, 10)}
			if err := c.apply(op, uint64(max(commits, 1))); err != nil {
				return err
			}
		}
		return c.end(e.history)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// BenchmarkCommit is a durable commit of one record of 5 KB, with nothing in the store and with a full history.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []struct{ commits, keys int }{{1, 1}, {100_000, 1}, {100_000, 10_000}} {
		b.Run(fmt.Sprintf("history=%d,keys=%d", size.commits, size.keys), func(b *testing.B) {
			e := filled(b, size.commits, size.keys)
			value := bytes.Repeat([]byte("v"), 5000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprintf("executor/%08d", i*7919%size.keys)
				if _, err := e.Commit(b.Context(), store.Txn{Ops: []store.Op{{Key: key, Value: value}}, Event: value[:300]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWatch reads one event of a backlog.
func BenchmarkWatch(b *testing.B) {
	const commits = 10_000
	e := filled(b, commits, 1)
	b.ReportAllocs()
	for b.Loop() {
		for c, err := range e.Watch(b.Context(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			if c.Revision == commits {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/commits, "ns/event")
}

// BenchmarkVerify reads a whole store, as every start does.
func BenchmarkVerify(b *testing.B) {
	e := filled(b, 100_000, 10_000)
	size := e.Stats().Size
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(e.path); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrim is a commit that drops two others, of a full history.
func BenchmarkTrim(b *testing.B) {
	e := filled(b, 100_000, 1)
	e.history = store.History{Commits: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Commit(b.Context(), store.Txn{Event: bytes.Repeat([]byte("e"), 300)}); err != nil {
			b.Fatal(err)
		}
	}
}
