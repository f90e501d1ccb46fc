package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/v1"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store/seal"
)

// largeRecord is an executor of some 5 KB.
func largeRecord() *executorRecord {
	c := &executor.ExecutorConfig{Common: executor.Common{ID: strings.Repeat("a", 64), Name: "web"}, Sessions: map[string]*executor.SessionConfig{}}
	for i := range 4 {
		c.Sessions[fmt.Sprint("s", i)] = &executor.SessionConfig{Cmd: executor.Cmd{Path: "/bin/main", Args: []string{"main", strings.Repeat("x", 300)}, Env: strings.Split(strings.Repeat("NAME=some value,", 40), ",")}}
	}
	return &executorRecord{Config: c, SecretKey: random(32)}
}

// BenchmarkRecord is what sealing adds to writing and reading a record, as a ratio: both are done turn by turn.
func BenchmarkRecord(b *testing.B) {
	codec, rec := newRecordCodec(seal.NewKeys(), 0), largeRecord()
	key := executorKey(rec.Config.ID)
	sealed, err := codec.encode(key, rec)
	if err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		b.Fatal(err)
	}
	compared := func(plain, whole func() error) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			var took [2]time.Duration
			for b.Loop() {
				for i, fn := range []func() error{plain, whole} {
					begun := time.Now()
					if err := fn(); err != nil {
						b.Fatal(err)
					}
					took[i] += time.Since(begun)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "sealed/plain")
			b.ReportMetric(float64(len(text)), "B")
		}
	}
	b.Run("write", compared(func() error { _, err := json.Marshal(rec); return err }, func() error { _, err := codec.encode(key, rec); return err }))
	b.Run("read", compared(func() error { return json.Unmarshal(text, new(executorRecord)) }, func() error { return codec.decode(KV{Key: key, Value: sealed}, new(executorRecord)) }))
}
