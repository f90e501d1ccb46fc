//go:build linux

package process

import (
	"bytes"
	"io"
	"sync"
)

// longest is how much of a line is kept before it is written unfinished.
const longest = 4096

// Console is where the output of all sessions goes, line by line.
type Console struct {
	mu sync.Mutex
	w  io.Writer
}

// NewConsole writes to w. What w does not take is lost, and no session's fault.
func NewConsole(w io.Writer) *Console { return &Console{w: w} }

// Session gives a writer whose lines begin with the session's name.
func (c *Console) Session(name string) io.WriteCloser {
	return &lines{console: c, prefix: "[" + name + "] "}
}

// lines puts lines together.
type lines struct {
	console *Console
	prefix  string
	pending []byte
}

func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		end := min(len(rest), longest-len(l.pending))
		if newline := bytes.IndexByte(rest[:end], '\n'); newline >= 0 {
			end = newline + 1
		}
		l.pending = append(l.pending, rest[:end]...)
		rest = rest[end:]
		if l.pending[len(l.pending)-1] == '\n' || len(l.pending) == longest {
			l.flush()
		}
	}
	return len(p), nil
}

func (l *lines) flush() {
	if len(l.pending) == 0 {
		return
	}
	line := append([]byte(l.prefix), bytes.TrimRight(l.pending, "\r\n")...)
	l.pending = l.pending[:0]
	l.console.mu.Lock()
	defer l.console.mu.Unlock()
	_, _ = l.console.w.Write(append(line, '\n'))
}

// Close writes what is left of a line.
func (l *lines) Close() error {
	l.flush()
	return nil
}
