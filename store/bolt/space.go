package bolt

import (
	"errors"
	"strings"
	"syscall"

	"github.com/vmexecutor/config-server/store"
)

// full are the system's words for no room: on the disk, in the quota, below the limit of a file's size.
var full = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

// noSpace recognizes them. Where bbolt makes the file larger it wraps by text alone.
func noSpace(err error) bool {
	if err == nil {
		return false
	}
	for _, errno := range full {
		if errors.Is(err, errno) || strings.HasSuffix(err.Error(), ": "+errno.Error()) {
			return true
		}
	}
	return false
}

// spaceError is a store.ErrNoSpace. It keeps to itself where the file is.
type spaceError struct{ cause error }

func (e *spaceError) Error() string   { return store.ErrNoSpace.Error() }
func (e *spaceError) Unwrap() []error { return []error{store.ErrNoSpace, e.cause} }
