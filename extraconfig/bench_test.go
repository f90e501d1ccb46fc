package extraconfig_test

import (
	"encoding/json"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// benchmarks runs f on the vectors that speed is measured on.
func benchmarks(b *testing.B, f func(b *testing.B, c *extraconfig.Codec[executor.ExecutorConfig], v vector)) {
	c := newCodec(b)
	for _, v := range vectors(b) {
		if v.name == "03" || v.name == "07" || v.name == "11" {
			b.Run(v.name, func(b *testing.B) {
				b.ReportAllocs()
				f(b, c, v)
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	benchmarks(b, func(b *testing.B, c *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		for b.Loop() {
			if _, err := c.Encode(v.executor); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(v.keys)), "pairs")
	})
}

func BenchmarkDecode(b *testing.B) {
	benchmarks(b, func(b *testing.B, c *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		for b.Loop() {
			if _, err := c.Decode(v.keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDiffOneField compares the key sets of two executors that differ in one field.
func BenchmarkDiffOneField(b *testing.B) {
	benchmarks(b, func(b *testing.B, c *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		before, err := c.Encode(v.executor)
		if err != nil {
			b.Fatal(err)
		}
		other := v.executor.Clone()
		other.Hostname += "x"
		after, err := c.Encode(other)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if d := extraconfig.Diff(before, after); len(d.Set) != 1 || len(d.Delete) != 0 {
				b.Fatal(d)
			}
		}
	})
}

// BenchmarkParse is what is done to every VM that is looked at.
func BenchmarkParse(b *testing.B) {
	benchmarks(b, func(b *testing.B, c *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		for b.Loop() {
			if c.Parse(v.keys).Len() != len(v.keys) {
				b.Fatal("keys are missing")
			}
		}
	})
}

// The yardsticks: encoding/json, of the same keys as a map.

func BenchmarkYardstickMarshal(b *testing.B) {
	benchmarks(b, func(b *testing.B, _ *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		for b.Loop() {
			if _, err := json.Marshal(v.keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkYardstickUnmarshal(b *testing.B) {
	benchmarks(b, func(b *testing.B, _ *extraconfig.Codec[executor.ExecutorConfig], v vector) {
		text, err := json.Marshal(v.keys)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			var m map[string]string
			if err := json.Unmarshal(text, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
