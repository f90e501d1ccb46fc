package audit

import (
	"fmt"
	"io"
	"os"

	"github.com/DeRuina/timberjack"
)

// fileMode is that of the files: they say who works on what.
const fileMode = 0o600

// OpenFile opens the file of a trail, and makes it if there is none; its directory must be there. When it would be larger than so many MiB it is renamed, to have the time in its
// name, and begun anew; as many old ones as keep are left, all of mode 0600. What is no regular file, a pipe for instance, is written to as it is.
// A line that was cut off when the machine failed is ended, for the next one to stand alone.
func OpenFile(path string, mebibytes, keep int) (io.WriteCloser, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, fileMode) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return f, nil
	}
	if err := endLine(f, info.Size()); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return &timberjack.Logger{Filename: path, MaxSize: mebibytes, MaxBackups: keep, FileMode: fileMode, Compression: "none"}, nil
}

// endLine ends the last line of a file.
func endLine(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil {
		return fmt.Errorf("read its end: %w", err)
	}
	if last[0] == '\n' {
		return nil
	}
	_, err := f.Write([]byte{'\n'})
	return err
}
