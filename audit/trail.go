package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Options are what a Trail works with.
type Options struct {
	// File gets the lines, each as JSON and in one Write; nil has them go to the log, at level info.
	File io.Writer
	// Log gets them too when File does not take them.
	Log *slog.Logger
	// Failed is called for each line that File did not take; nil for nobody. It must be quick.
	Failed func()
}

// Trail writes entries. It may be used concurrently.
//
// Lines are written in the order in which what they tell of ended, each whole and in one write, before the last byte of a request's answer. They are not synced: a line
// that was written survives the end of the process, and not that of the machine. What the file does not take goes to the log, and
// nothing fails for it; when it took a part, the next line begins anew, so that one that is no JSON stands alone.
//
// Lines that tell of no change are left out when their source has many of them, and counted: see linesPerSource.
type Trail struct {
	o       Options
	crowded crowded

	mu   sync.Mutex
	torn bool // the file ends with a part of a line
}

// New makes a Trail. Close ends it.
func New(o Options) *Trail {
	t := &Trail{o: o}
	if o.Failed == nil {
		t.o.Failed = func() {}
	}
	t.crowded.tell = t.write
	return t
}

// Write writes an entry, at the present time when it has none, unless it is one of too many that changed nothing. The entry is the trail's for the call alone.
func (t *Trail) Write(e *Entry) {
	if e.Always || e.Outcome.changes() || t.crowded.room(cmp.Or(e.Client, e.Source)) {
		t.write(e)
	}
}

// Close tells of the lines that were left out until now. The file is the caller's to close.
func (t *Trail) Close() { t.crowded.end() }

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (t *Trail) write(e *Entry) {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	e.bound()
	if t.o.File == nil {
		t.o.Log.Info("audit", e.attrs()...)
		return
	}
	line := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(line)
	line.Reset()
	line.WriteByte('\n')
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	if err == nil {
		err = t.append(line.Bytes())
	}
	if err != nil {
		t.o.Failed()
		t.o.Log.Error("audit", append(e.attrs(), slog.Any("error", err))...)
	}
}

// append adds a line to the file. It begins with a newline, which only a file that ends with a part of another line gets.
func (t *Trail) append(line []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.torn {
		line = line[1:]
	}
	n, err := t.o.File.Write(line)
	if err != nil {
		t.torn = t.torn || n > 0
		return err
	}
	t.torn = false
	return nil
}
