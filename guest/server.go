package guest

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// VM is what a Server serves to one guest. What the guest must not see never enters it. Calls for one
// connection come one after the other.
type VM interface {
	// Hello begins a session of the guest, and is asked again for each hello, also when the boot id is the same.
	// It may wait until the VM's keys are settled for this boot. Its context ends with the connection, and when the guest
	// says hello again. A *Refusal or ErrUnavailable is told to the guest, any other error only to the log.
	Hello(ctx context.Context, h Hello) (Welcome, error)

	// Snapshot gives all that the guest may see, at one revision, ordered by key. The Server does not change it.
	// Errors are as those of Hello.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Set changes keys that the guest owns: all of them, or none. It returns once that is durably stored, with
	// the revision of it. The pairs keep the limits, no key is there twice (ASCII case ignored) and no value is empty;
	// whether the guest may set them is decided here: *Refusal. Repeating a set is harmless. Errors are as those of Hello.
	Set(ctx context.Context, keys []Pair) (revision uint64, err error)
}

// ErrUnavailable is the error of a VM that cannot answer at the moment: the guest tries again.
var ErrUnavailable = errors.New("not available at the moment")

// EventKind is a kind of Event.
type EventKind string

// The kinds of events.
const (
	// EventIgnored is a line that is not answered: before a hello, or no request.
	EventIgnored EventKind = "ignored"
	// EventRefused is a request that was refused, by the VM or before it was asked.
	EventRefused EventKind = "refused"
	// EventLimited is a set that came too soon.
	EventLimited EventKind = "limited"
)

// Event is something that an operator counts or audits. It never holds a value.
type Event struct {
	Kind EventKind
	// Refusal says what was refused, and why.
	Refusal Refusal
}

// Options are a Server's. The zero value is good.
type Options struct {
	// Limits replace DefaultLimits where they are not zero.
	Limits Limits
	// Software is what a welcome says of the server when the VM does not: "config-server/1.2".
	Software string
	// Log gets what went wrong inside; nothing when nil.
	Log *slog.Logger
	// Event is called for each event, when not nil. It must be quick, and safe for concurrent use.
	Event func(Event)
}

// Server serves the guest of one VM, over whatever connections that makes. Make it with NewServer.
type Server struct {
	vm VM
	o  Options
}

// NewServer makes the server of one VM.
func NewServer(vm VM, o Options) *Server { return &Server{vm: vm, o: o} }

// Serve serves one connection until it or ctx ends, and closes it. It returns nil when the other side ended
// it, and leaves nothing behind.
func (s *Server) Serve(ctx context.Context, conn net.Conn) error {
	return errors.New("not built yet")
}

// Changed tells the guest, where it subscribed, that keys changed up to a revision. No keys at all means: any.
// It never waits for a guest; what a slow one has not been told yet becomes one message.
func (s *Server) Changed(revision uint64, keys ...string) {}
