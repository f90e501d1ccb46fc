package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// whole is an entry in which no field is empty.
func whole(t testing.TB) Entry {
	t.Helper()
	e := Entry{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Actor: "ci", Role: "operator", Source: "192.0.2.1:80", Operation: "putExecutor", Resource: "/v1/executors/web-1",
		Before: 3, After: 4, Fields: []string{"hostname", `annotations.a"b`}, MoreFields: 5, Outcome: Done, Status: 200, Reason: "read-only", Key: "k", Request: "r", Count: 6, Always: true, Client: "192.0.2.1",
	}
	for i, v := 0, reflect.ValueOf(e); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is empty", v.Type().Field(i).Name)
		}
	}
	return e
}

// entries reads lines, which must be whole.
func entries(t testing.TB, text []byte) (list []Entry) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var e Entry
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%v: %q", err, line)
		}
		list = append(list, e)
	}
	return list
}

// TestLines: what is written is read again, and an empty field is not there.
func TestLines(t *testing.T) {
	var file bytes.Buffer
	trail := New(Options{File: &file})
	e := whole(t)
	trail.Write(&e)
	trail.Write(&Entry{Outcome: Refused})
	read := entries(t, file.Bytes())
	if len(read) != 2 {
		t.Fatalf("%s", &file)
	}
	e.Always, e.Client = false, ""
	if !reflect.DeepEqual(read[0], e) {
		t.Errorf("read %+v, want %+v", read[0], e)
	}
	if since := time.Since(read[1].Time); since < 0 || since > time.Hour || read[1].Time.Location() != time.UTC {
		t.Errorf("the time is %s", read[1].Time)
	}
	if _, second, _ := strings.Cut(file.String(), "\n"); strings.Count(second, ":") != 4 { // two of them in the time
		t.Errorf("what is empty is told: %s", second)
	}
}

// TestLog: without a file the log has the same fields.
func TestLog(t *testing.T) {
	var log, file bytes.Buffer
	e := whole(t)
	New(Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}).Write(&e)
	New(Options{File: &file}).Write(&e)
	var logged, written map[string]any
	if err := errors.Join(json.Unmarshal(log.Bytes(), &logged), json.Unmarshal(file.Bytes(), &written)); err != nil {
		t.Fatal(err)
	}
	if logged["msg"] != "audit" || logged["level"] != "INFO" {
		t.Errorf("%s", &log)
	}
	for _, ofTheLog := range []string{"msg", "level", "time"} {
		delete(logged, ofTheLog)
	}
	delete(written, "time")
	if !reflect.DeepEqual(logged, written) {
		t.Errorf("the log has\n%v\nthe file\n%v", logged, written)
	}

	log.Reset()
	New(Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}).Write(&e)
	if log.Len() > 0 {
		t.Errorf("a log that is for warnings has %s", &log)
	}
}

// TestBounds: a line has an end, whatever it is about.
func TestBounds(t *testing.T) {
	var file bytes.Buffer
	e := Entry{Resource: "/" + strings.Repeat("x", 1<<20), Key: "k" + strings.Repeat("é", 1<<20), Outcome: Done}
	for i := range MaxFields + 7 {
		e.Fields = append(e.Fields, fmt.Sprintf("annotations.%0100d", i))
	}
	fields := e.Fields
	New(Options{File: &file}).Write(&e)
	got := entries(t, file.Bytes())[0]
	if len(got.Fields) != MaxFields || got.MoreFields != 7 || len(got.Resource) != MaxText+len("...") || len(got.Key) > MaxText+len("...") {
		t.Errorf("%d fields and %d more, a resource of %d bytes", len(got.Fields), got.MoreFields, len(got.Resource))
	}
	if len(fields) != MaxFields+7 || fields[MaxFields] == "" {
		t.Error("the fields were changed, which others have too")
	}
}

// choking takes a part of a line, then nothing, then all.
type choking struct {
	bytes.Buffer
	parts []int
}

func (c *choking) Write(b []byte) (int, error) {
	if len(c.parts) == 0 {
		return c.Buffer.Write(b)
	}
	n, _ := c.Buffer.Write(b[:c.parts[0]])
	c.parts = c.parts[1:]
	return n, errors.New("no space left on device")
}

// TestTorn: a line that the file did not take whole is in the log, and does no harm to the next.
func TestTorn(t *testing.T) {
	var log bytes.Buffer
	file, failed := &choking{parts: []int{10, 0, 1}}, 0
	trail := New(Options{File: file, Log: slog.New(slog.NewJSONHandler(&log, nil)), Failed: func() { failed++ }})
	for i := range 5 {
		trail.Write(&Entry{Operation: fmt.Sprint("op", i), Outcome: Done})
	}
	var lines []string
	for line := range strings.Lines(file.String()) {
		if line != "\n" {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 || json.Valid([]byte(lines[0])) || !strings.Contains(lines[1], `"op3"`) || !strings.Contains(lines[2], `"op4"`) {
		t.Errorf("%q", lines)
	}
	for _, line := range lines[1:] {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q", line)
		}
	}
	for i := range 3 {
		if !strings.Contains(log.String(), fmt.Sprintf(`"operation":"op%d","outcome":"done","error":"no space left on device"`, i)) {
			t.Errorf("line %d is not in the log: %s", i, &log)
		}
	}
	if failed != 3 {
		t.Errorf("%d failed", failed)
	}
}

// TestFull: a device that is always full.
func TestFull(t *testing.T) {
	file, err := OpenFile("/dev/full", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var log bytes.Buffer
	failed := 0
	New(Options{File: file, Log: slog.New(slog.NewJSONHandler(&log, nil)), Failed: func() { failed++ }}).Write(&Entry{Operation: "op", Outcome: Done})
	if failed != 1 || !strings.Contains(log.String(), `"level":"ERROR","msg":"audit"`) || !strings.Contains(log.String(), "no space left") {
		t.Errorf("%d: %s", failed, &log)
	}
	if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
		t.Errorf("the device is gone: %v %v", info, err)
	}
}

// TestTogether: lines of many who write at once are whole, and none is missing.
func TestTogether(t *testing.T) {
	var file bytes.Buffer
	trail := New(Options{File: &file})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				trail.Write(&Entry{Operation: fmt.Sprint(i, "/", j), Outcome: Done})
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, e := range entries(t, file.Bytes()) {
		seen[e.Operation] = true
	}
	if len(seen) != 800 {
		t.Errorf("%d lines", len(seen))
	}
}

// shared is a file that others write to while it is looked at.
type shared struct {
	mu   sync.Mutex
	text []byte
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	return len(b), nil
}

func (s *shared) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text
	s.text = nil
	return text
}

// TestFlood: whoever is refused all the time has some lines a minute and a number, changes are all told, and others have their own.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &shared{}
		trail := New(Options{File: file})
		count := func() map[string]int {
			synctest.Wait()
			n := map[string]int{}
			for _, e := range entries(t, file.take()) {
				n[e.Source+" "+string(e.Outcome)] += max(e.Count, 1)
			}
			return n
		}
		expect := func(when string, want map[string]int) {
			t.Helper()
			if got := count(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		for i := range 1000 {
			trail.Write(&Entry{Source: fmt.Sprint("192.0.2.1:", i), Client: "192.0.2.1", Outcome: []Outcome{Refused, Failed, Unchanged, Refused}[i%4]})
			if i%10 == 0 {
				trail.Write(&Entry{Source: "a", Client: "192.0.2.1", Outcome: Done})
				trail.Write(&Entry{Source: "b", Client: "192.0.2.1", Outcome: PutBack})
			}
		}
		trail.Write(&Entry{Source: "guest channel", Client: "vm:web-1", Outcome: Refused})
		trail.Write(&Entry{Source: "c", Client: "192.0.2.1", Outcome: Failed, Always: true})
		got := count()
		lines := 0
		for what, n := range got {
			if strings.HasPrefix(what, "192.0.2.1:") {
				lines += n
			}
		}
		if lines != linesPerSource || got["a done"] != 100 || got["b put back"] != 100 || got["guest channel refused"] != 1 || got["c failed"] != 1 || len(got) != linesPerSource+4 {
			t.Errorf("at once: %d lines of %v", lines, got)
		}
		<-time.After(period - 1)
		expect("before the minute is over", map[string]int{})
		<-time.After(1)
		expect("after it", map[string]int{"192.0.2.1 omitted": 1000 - linesPerSource})
		<-time.After(time.Hour)
		expect("later", map[string]int{})

		// Sources without end are one.
		for i := range 10_000 {
			trail.Write(&Entry{Source: fmt.Sprint("s", i), Outcome: Refused})
		}
		if n := len(trail.crowded.sources); n != maxSources+1 {
			t.Errorf("%d sources are in memory", n)
		}
		if got := count(); len(got) != maxSources+linesPerSource {
			t.Errorf("%d lines", len(got))
		}
		trail.Close()
		expect("at the end", map[string]int{"others omitted": 10_000 - maxSources - linesPerSource})
		trail.Write(&Entry{Source: "late", Outcome: Refused})
		expect("after it", map[string]int{"late refused": 1})
	})
}
