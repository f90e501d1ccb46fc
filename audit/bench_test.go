package audit

import (
	"path/filepath"
	"testing"
)

// BenchmarkWrite is what a line costs, in a file.
func BenchmarkWrite(b *testing.B) {
	file, err := OpenFile(filepath.Join(b.TempDir(), "audit.jsonl"), 100, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	trail := New(Options{File: file})
	e := whole(b)
	b.ReportAllocs()
	for b.Loop() {
		trail.Write(&e)
	}
}
