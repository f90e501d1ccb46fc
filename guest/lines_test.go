package guest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzLines holds the reader of lines against splitting the whole text, with lines longer and shorter than it takes, and a
// stream that comes in any pieces.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\n  \nbcd\n\xff\x00\nlast"), uint16(3), byte(0))
	f.Add(append(bytes.Repeat([]byte("x"), 3*chunk), "\nnext\n"...), uint16(2*chunk), byte(1))
	f.Add(append(bytes.Repeat([]byte("x"), 3*chunk), "\nnext\n"...), uint16(4*chunk), byte(2))
	f.Fuzz(func(t *testing.T, text []byte, max uint16, pieces byte) {
		var r io.Reader = bytes.NewReader(text)
		switch pieces % 3 {
		case 1:
			r = iotest.OneByteReader(r)
		case 2:
			r = iotest.DataErrReader(r)
		}
		lines := newLines(r, int(max))
		whole := bytes.Split(text, []byte("\n"))
		for _, want := range whole[:len(whole)-1] {
			if len(bytes.TrimSpace(want)) == 0 && len(want) <= int(max) {
				continue
			}
			got, err := lines.next()
			if len(want) > int(max) {
				if !errors.Is(err, errLong) {
					t.Fatalf("a line of %d bytes, at most %d: %v", len(want), max, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
			if cap(lines.buf) > 2*int(max)+2*chunk {
				t.Fatalf("holds %d bytes for lines of at most %d", cap(lines.buf), max)
			}
		}
		if got, err := lines.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last line: %q, %v", got, err)
		}
	})
}
