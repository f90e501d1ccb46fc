package bolt

import (
	"bytes"
	"fmt"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// filled opens a store with a history and keys, made in one go.
func filled(tb testing.TB, commits, keys int) *Engine {
	tb.Helper()
	e, err := Open(tb.TempDir(), WithHistory(uint64(max(commits, 1))))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	event := bytes.Repeat([]byte("e"), 300)
	err = e.db.Update(func(tx *bbolt.Tx) error {
		log := tx.Bucket(logBucket)
		log.FillPercent = 1
		for i := range commits {
			if err := log.Put(number(uint64(i+1)), event); err != nil {
				return err
			}
		}
		for i := range keys {
			op := store.Op{Key: fmt.Sprintf("executor/%08d", i), Value: bytes.Repeat(event, 10)}
			if err := apply(tx.Bucket(keysBucket), op, uint64(commits)); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(revisionKey, number(uint64(commits)))
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// BenchmarkCommit is a durable commit of one record of 5 KB, with nothing in the store and with a full history.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []struct{ commits, keys int }{{1, 1}, {History, 1}, {History, 10_000}} {
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
