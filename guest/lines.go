package guest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errLong is the error of a line that is too long. What follows its newline is readable again.
var errLong = errors.New("the line is too long")

const (
	chunk    = 4 << 10  // bytes that are read at once
	keepLine = 16 << 10 // bytes that a reader keeps for its next line
)

// lines reads a stream line by line. It holds as much of a line as came, and never more than max bytes.
type lines struct {
	r   *bufio.Reader
	max int
	buf []byte
}

func newLines(r io.Reader, max int) *lines { return &lines{r: bufio.NewReaderSize(r, chunk), max: max} }

// next gives the next line that is not blank, without its newline; it is good until the call after. A line that is too long is skipped:
// errLong. What has no newline is no line, and lost.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.line()
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

func (l *lines) line() ([]byte, error) {
	if cap(l.buf) > keepLine {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		ends := err == nil
		if ends {
			part = part[:len(part)-1]
		}
		long = long || len(l.buf)+len(part) > l.max
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case long && ends:
			l.buf = nil
			return nil, errLong
		case long:
			l.buf = nil
		case ends && len(l.buf) == 0:
			return part, nil
		default:
			l.buf = append(l.buf, part...)
			if ends {
				return l.buf, nil
			}
		}
	}
}
