// Package vm is the contract between the reconciler and a kind of VM: it reads and changes the
// key/value pairs that a VM holds, and says what is known of its power. A driver (vm/vsphere) is
// the channel alone; which keys are ours, and what they should be, is decided above it.
//
// push and app import it. It imports extraconfig, executor and the standard library; only the packages
// below it know a hypervisor. Drivers are proven by vm/vmtest.
package vm

import (
	"context"
	"errors"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Power is the power state of a VM.
type Power string

// The power states. A driver that sees one that is not here says PowerUnknown.
const (
	PowerOn        Power = "on"
	PowerOff       Power = "off"
	PowerSuspended Power = "suspended"
	PowerUnknown   Power = "unknown"
)

// State is what a VM was seen to hold, at one instant.
type State struct {
	// Keys are all pairs that the VM holds, other tools' too, spelt as the VM spells them.
	// Values are text, and unescaped: an empty string is an empty value, not an absent key.
	// The map may be shared: nobody changes it.
	Keys map[string]string
	// Power at that instant.
	Power Power
	// Epoch changes whenever the VM was switched on or off, or reverted to a snapshot: its keys may then
	// have earlier values, which nobody reported. It may change at other times too, such as when a snapshot is made,
	// but not when the VM is suspended or resumed. It says nothing but "the same" or "not the same".
	Epoch string
	// Boot names the run of a VM from its being switched on to its being switched off. A VM that is suspended, or of which a
	// snapshot is made, is in the same one; one that is reverted and runs is in another. It is empty where the hypervisor tells
	// of none: then each Epoch is one.
	Boot string
	// Version changes whenever the hypervisor changes the VM's configuration. It says nothing
	// but "the same" or "not the same"; it is empty where the hypervisor has no such thing.
	Version string
	// Booting says that the VM is on, and that its guest has not told yet which boot this is: what belongs to one boot waits
	// until Epoch can be trusted. Only a Host knows.
	Booting bool
	// NoSecrets is why the guest cannot be given the key that opens secrets, as a sentence that begins with "the VM"; empty when
	// it can.
	NoSecrets string
}

// Change is what one Apply does to a VM.
type Change struct {
	// Set are the pairs to write, with unescaped values.
	Set []extraconfig.Pair
	// Delete are the keys to remove, spelt as they were observed. A key that was not observed
	// must not be here: some hypervisors answer by creating it.
	Delete []string
	// Version is that of the State that the change was computed from. When it is not empty and
	// the VM has changed since, nothing is applied and the answer is ErrConflict.
	Version string
	// Revision is the executor's that the change leads to.
	Revision uint64
	// SecretKey, where it is not empty, is given to the guest: it opens the executor's secret pairs. No State shows it, so that
	// nobody can see whether the guest has it. A Host does nothing with it, it was given the key when the VM was attached.
	SecretKey executor.Secret
	// Forget takes the secret key away: there is nothing left to open.
	Forget bool
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool {
	return len(c.Set) == 0 && len(c.Delete) == 0 && len(c.SecretKey) == 0 && !c.Forget
}

// The errors that a caller acts on. A driver wraps them in a sentence that an operator can read.
var (
	// ErrNotFound: there is no such VM.
	ErrNotFound = errors.New("no such VM")
	// ErrAmbiguous: the reference fits several VMs.
	ErrAmbiguous = errors.New("several VMs fit")
	// ErrConflict: the VM changed since it was observed, nothing was applied. Observe again.
	ErrConflict = errors.New("the VM changed meanwhile")
	// ErrUnavailable: the hypervisor is not reachable, or does not let us in. Try again later.
	ErrUnavailable = errors.New("the hypervisor is not available")
)

// Driver reads and changes one kind of VM. Its methods may be called concurrently, for the same
// VM too. A driver does not retry a failed call, but it reconnects by itself: a call made after
// the hypervisor came back, or after a session ended, succeeds without anybody's help.
//
// An instance is the identity that Resolve pinned: it goes on meaning the same VM when that is
// renamed or moved, and never means another one. All methods but Close answer ErrUnavailable
// while the hypervisor is known to be away, and the context's error when it ends; other errors are the
// hypervisor's refusals. No error holds a value or a credential.
type Driver interface {
	// Resolve finds the one VM that a reference written by a client means. Which forms there
	// are is the driver's to say. ErrNotFound, ErrAmbiguous.
	Resolve(ctx context.Context, ref string) (instance string, err error)

	// Observe says what the VM holds. No change that Apply made before is missing from it. What
	// others did may be, for the moment that the hypervisor takes to tell: a hint follows, and a
	// change computed from the older state is ErrConflict where there are versions. After
	// ErrConflict the answer is not the version that was refused. ErrNotFound.
	Observe(ctx context.Context, instance string) (State, error)

	// Apply makes one change, all of it or nothing, in one call of the hypervisor, and returns
	// once the hypervisor says that it is done. Applying the same change again is harmless. An
	// empty change makes no call. ErrNotFound, ErrConflict.
	//
	// After ErrUnavailable, or the context's error, it is not known whether the change was
	// applied or still will be: the caller observes before it decides again.
	Apply(ctx context.Context, instance string, c Change) error

	// Watch calls hint with the instance of a VM that may have changed, whoever changed it, until ctx ends, whose error
	// it then returns. hint must be quick. Hints are given for VMs that were observed; they may come late, twice,
	// or not at all: who must not miss anything looks again now and then. Watch reconnects by itself.
	Watch(ctx context.Context, hint func(instance string)) error

	// Close ends the session with the hypervisor. No other call may follow, nor be under way.
	Close(ctx context.Context) error
}

// Refresher is a Driver that answers from what it was told, not from what it asks: its Observe may
// lack what others did a moment ago.
type Refresher interface {
	// Refresh returns when Observe no longer lacks anything that happened before Refresh was called.
	Refresh(ctx context.Context) error
}
