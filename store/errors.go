package store

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// What is asked for is not there, or is there already.
var (
	ErrNotFound = errors.New("there is no such resource")
	ErrExists   = errors.New("a resource of this name exists already")
	ErrUnbound  = errors.New("the executor is not bound to a VM")
	ErrInUse    = errors.New("the resource is in use")
	ErrClaimed  = errors.New("the VM belongs to another executor")

	ErrNameTaken    = errors.New("another executor has that name")
	ErrAddressTaken = errors.New("another endpoint has that address")

	ErrSecrets = errors.New("the executor holds secrets, and only an administrator binds it to a VM that it is not bound to")
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

	ErrDamaged  = errors.New("the store is damaged")
	ErrNoSpace  = errors.New("there is no room left where the store is: nothing was changed")
	ErrNoBackup = errors.New("this store cannot be copied: it is in memory alone")
)

// Future is an ErrFuture that says how the store stands.
func Future(revision, now uint64) error {
	return fmt.Errorf("the store is at revision %d, not yet at %d: %w", now, revision, ErrFuture)
}

// CompactedError is an ErrCompacted that says how the store stands: whoever lists now can follow the feed from there.
type CompactedError struct{ After, Revision uint64 }

func (e *CompactedError) Error() string {
	return fmt.Sprintf("the history does not go back to revision %d any more: list, and watch from the revision of the list; the store is at %d", e.After, e.Revision)
}

// Is makes it an ErrCompacted.
func (e *CompactedError) Is(target error) bool { return target == ErrCompacted }

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

// NameError is an ErrNameTaken that says by which executor.
type NameError struct{ Name, Holder string }

func (e *NameError) Error() string {
	return fmt.Sprintf("the name %q is that of executor %q", e.Name, e.Holder)
}

// Is makes it an ErrNameTaken.
func (e *NameError) Is(target error) bool { return target == ErrNameTaken }

// AddressError is an ErrAddressTaken that says by whom, as executor/endpoint.
type AddressError struct {
	Network string
	Address netip.Addr
	Holder  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("the static address %s of container network %q is that of %s", e.Address, e.Network, e.Holder)
}

// Is makes it an ErrAddressTaken.
func (e *AddressError) Is(target error) bool { return target == ErrAddressTaken }
