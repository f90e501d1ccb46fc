package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRotation: files have a size, so many of them are kept, and none is for others to read.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	file, err := OpenFile(path, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	trail := New(Options{File: file})
	last := ""
	for i := range 60 { // of about 100 kB each
		e := Entry{Outcome: Done, Status: 200 + i}
		for range MaxFields {
			e.Fields = append(e.Fields, strings.Repeat("f", 100))
		}
		trail.Write(&e)
	}
	if err := file.Close(); err != nil { // waits for what removes old ones
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("there are %v %v", list, err)
	}
	lines := 0
	for _, entry := range list {
		name := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(name); err != nil || info.Mode() != fileMode || info.Size() > 1<<20 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += len(entries(t, text))
		if name == path {
			for _, e := range entries(t, text) {
				last = strings.Repeat("|", e.Status-200)
			}
		}
	}
	if lines < 20 || len(last) != 59 {
		t.Errorf("%d lines are kept, the last is number %d", lines, len(last))
	}
}

// TestAgain: a file is gone on with, also when its last line was cut off.
func TestAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	write := func() {
		file, err := OpenFile(path, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		New(Options{File: file}).Write(&Entry{Operation: "op", Outcome: Done})
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write()
	text, err := os.ReadFile(path)
	if err != nil || len(entries(t, text)) != 2 {
		t.Errorf("%v %q", err, text)
	}
	if err := os.Truncate(path, int64(len(text)-5)); err != nil {
		t.Fatal(err)
	}
	write()
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 3 || len(entries(t, []byte(lines[0]+lines[2]+"\n"))) != 2 {
		t.Errorf("%q", lines)
	}
	if _, err := OpenFile(filepath.Join(path, "below"), 1, 1); err == nil {
		t.Error("a file below a file was opened")
	}
}
