package durable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestALinkAndItsTarget are one file: who changes it by either name waits for the other, and loses nothing of what that did.
func TestALinkAndItsTarget(t *testing.T) {
	target, link := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	const changes = 50
	var both sync.WaitGroup
	for _, path := range []string{target, link} {
		both.Go(func() {
			for range changes {
				if err := Replace(path, func(old []byte) ([]byte, error) { return append(old, 'x'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	text, err := os.ReadFile(target)
	if err != nil || !bytes.Equal(text, bytes.Repeat([]byte("x"), 2*changes)) {
		t.Errorf("%d of %d changes are there: %v", len(text), 2*changes, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is a link no more: %v %v", info, err)
	}
}
