package vm

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Host is a Driver that is the whole channel between this server and a VM's guest: it serves the guest by itself, on behalf of the
// executor that the VM was attached for, and what it serves is in its memory alone. So nobody but the guest and whoever calls Apply
// writes keys there, and all is gone when the process ends: the store is the truth, and fills it again.
//
// No hidden key is ever given to a Host. It is not told which keys a guest may write, either: it asks (Attachment.Report).
type Host interface {
	Driver

	// Attach has the guest of an instance served from now on. An instance that is not attached is ErrNotFound to Observe and Apply.
	// It may be called again, with other news of the same executor; that changes nothing for a guest that is connected. An
	// instance that was attached for another executor, and an executor that had another instance, are detached first.
	Attach(ctx context.Context, instance string, a Attachment) error

	// Detach ends what Attach began, and forgets all keys. One that is not attached is detached already.
	Detach(ctx context.Context, instance string) error

	// Settled tells at which revision a VM was seen to be in order: what its guest is served is that revision's from then on.
	Settled(instance string, revision uint64)

	// Socket gives the path of the unix socket on which the guest of an executor is served, attached or not; an error when there
	// can be none.
	Socket(executor string) (path string, err error)
}

// RefChecker is a Driver that can tell by its looks that a reference means nothing.
type RefChecker interface {
	// CheckRef gives the reason, as a sentence that continues "ref: ".
	CheckRef(ref string) error
}

// Attachment is what a Host knows of an executor whose guest it serves, and what it asks when that speaks.
type Attachment struct {
	Executor  string
	Ref       string          // of the binding
	SecretKey executor.Secret // opens the executor's secret values; for its guest alone
	// Epoch is the one in which the VM was last seen, by this process or one before it: it goes on until a guest tells of another.
	Epoch string

	// Settle returns once the VM holds what the store says: what a guest is told of a boot waits for it. An error means that it
	// does not, and may later.
	Settle func(ctx context.Context) error

	// Report takes what a guest sets, with unescaped values, all of it or nothing. It returns once that is durably in the store
	// and was applied, which may have written a value in another way, and answers the revision. *Refusal says that
	// nothing was changed, and why; after another error it is not known, and the guest may set the same again.
	Report func(ctx context.Context, set []extraconfig.Pair) (revision uint64, err error)
}

// LogValue names the executor and its VM.
func (a Attachment) LogValue() slog.Value {
	return slog.GroupValue(slog.String("executor", a.Executor), slog.String("ref", a.Ref))
}

// Format is LogValue for every verb: what a pointer points to is shown by package fmt where a verb does not fit.
func (a Attachment) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, a.LogValue()) }

// Reason says in a word why a guest may not set a key.
type Reason string

// The reasons.
const (
	ReasonUnknown  Reason = "unknown-key" // it is no key of ours
	ReasonSpelling Reason = "spelling"    // it is one in another spelling: on this channel there is one
	ReasonHidden   Reason = "hidden"
	ReasonReadOnly Reason = "read-only"
	ReasonSecret   Reason = "secret"
	ReasonNoEntry  Reason = "no-entry" // the executor has no such session, exec of this boot, or endpoint
	ReasonNetwork  Reason = "network"  // the field follows a container network
	ReasonInvalid  Reason = "invalid"  // the value cannot be the field's
	ReasonLimit    Reason = "limit"    // too large, or too many
)

// Reasons are all there are.
var Reasons = []Reason{
	ReasonUnknown, ReasonSpelling, ReasonHidden, ReasonReadOnly, ReasonSecret, ReasonNoEntry, ReasonNetwork, ReasonInvalid, ReasonLimit,
}

// Refusal is the answer to a guest that may not set a key. Its text holds no value.
type Refusal struct {
	Key    string // as the guest spelled it
	Known  bool   // the key is one of ours, so that its text tells nothing that only the guest knows
	Reason Reason
	Text   string // for people
}

func (r *Refusal) Error() string { return r.Text }
