package store

import (
	"errors"
	"fmt"
	"strings"
)

// What is asked for is not there, or is there already.
var (
	ErrNotFound = errors.New("there is no such resource")
	ErrExists   = errors.New("a resource of this name exists already")
	ErrUnbound  = errors.New("the executor is not bound to a VM")
	ErrInUse    = errors.New("the resource is in use")
	ErrClaimed  = errors.New("the VM belongs to another executor")
)

// Somebody else was quicker.
var ErrConflict = errors.New("what the change was based on has changed")

// The history cannot be given.
var (
	ErrCompacted = errors.New("the history does not go back that far")
	ErrFuture    = errors.New("there has been no such revision yet")
)

// The store as a whole.
var (
	ErrClosed = errors.New("the store is closed")
	ErrLocked = errors.New("another server uses the data directory")
	ErrFormat = errors.New("the store was written by a newer version of this program")
)

// ClaimedError is an ErrClaimed that says by whom.
type ClaimedError struct{ Ref, Holder string }

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("VM %q belongs to executor %q", e.Ref, e.Holder)
}

// Is makes it an ErrClaimed.
func (e *ClaimedError) Is(target error) bool { return target == ErrClaimed }

// InUseError is an ErrInUse that says by whom, as executor/endpoint.
type InUseError struct {
	Network string
	By      []string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("container network %q is in use by %s", e.Network, strings.Join(e.By, ", "))
}

// Is makes it an ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }
