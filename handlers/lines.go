package handlers

import (
	"context"
	"net/http"
	"time"
)

// lastWrite is how long a write that is under way may still take when streams are to end.
const lastWrite = 300 * time.Millisecond

// lineWriter writes an answer that has no end of its own, a line at a time. A write that its reader does not take within patience fails.
type lineWriter struct {
	http.ResponseWriter
	connection *http.ResponseController
	patience   time.Duration
	streams    context.Context
	release    func() bool
}

// newLineWriter takes the server's own limits off the connection. When streams ends, so does whatever is being written.
func newLineWriter(w http.ResponseWriter, patience time.Duration, streams context.Context) *lineWriter {
	l := &lineWriter{ResponseWriter: w, connection: http.NewResponseController(w), patience: patience, streams: streams}
	l.release = context.AfterFunc(streams, l.hurry)
	return l
}

// hurry makes what is being written the last.
func (l *lineWriter) hurry() {
	_ = l.connection.SetWriteDeadline(time.Now().Add(lastWrite)) // a connection that is gone needs none
}

// begin lets the connection stay open without a request being read from it, and writes the first line, even when the stream is to end already: the client
// then knows where to go on.
func (l *lineWriter) begin(line []byte) error {
	if err := l.connection.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if err := l.connection.SetWriteDeadline(time.Now().Add(l.patience)); err != nil {
		return err
	}
	if _, err := l.Write(line); err != nil {
		return err
	}
	return l.connection.Flush()
}

// write may keep the line until flush.
func (l *lineWriter) write(line []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	_, err := l.Write(line)
	return err
}

func (l *lineWriter) flush() error {
	if err := l.ready(); err != nil {
		return err
	}
	return l.connection.Flush()
}

// ready gives the next write its time. It looks at streams last: when that ends from here on, hurry is yet to be called.
func (l *lineWriter) ready() error {
	if err := l.connection.SetWriteDeadline(time.Now().Add(l.patience)); err != nil {
		return err
	}
	err := l.streams.Err()
	if err != nil {
		l.hurry()
	}
	return err
}

func (l *lineWriter) close() { l.release() }
