package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
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
	// ByVM reports that the VM refused it, and so knows already.
	ByVM bool
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
	vm       VM
	limits   Limits
	software string
	log      *slog.Logger
	event    func(Event)

	// The limits hold for the VM: a new connection is no fresh start.
	writes, requests, traffic *rate.Limiter

	mu    sync.Mutex
	conns map[*conn]struct{}
}

const (
	// maxConns is how many connections a VM may have at once: an agent, and commands beside it.
	maxConns = 16
	// burstRequests and burstTraffic are what a guest may do at once, after a boot: that much is not slowed down.
	burstRequests = 200
	burstTraffic  = MaxLine + 1<<20
)

// NewServer makes the server of one VM. It starts nothing.
func NewServer(vm VM, o Options) *Server {
	l := o.Limits.orDefault()
	s := &Server{
		vm: vm, limits: l, software: o.Software, log: o.Log, event: o.Event,
		writes:   rate.NewLimiter(rate.Limit(l.Writes), l.Burst),
		requests: rate.NewLimiter(rate.Limit(l.Requests), burstRequests),
		traffic:  rate.NewLimiter(rate.Limit(l.Traffic), burstTraffic),
		conns:    map[*conn]struct{}{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.event == nil {
		s.event = func(Event) {}
	}
	return s
}

// errConns is the end of a connection that is one too many.
var errConns = fmt.Errorf("the guest has %d connections already", maxConns)

// Serve serves one connection until it or ctx ends, and closes it. It returns nil when the other side ended it, and
// leaves nothing behind: no goroutine, no descriptor.
func (s *Server) Serve(ctx context.Context, stream net.Conn) error {
	defer stream.Close()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &conn{
		server: s, stream: stream, wake: make(chan struct{}, 1), writing: make(chan struct{}, 1),
		requests: make(chan request, readAhead), room: semaphore.NewWeighted(MaxLine),
		cancel: cancel, ended: make(chan struct{}),
	}
	if !s.admit(c) {
		return errConns
	}
	defer s.dismiss(c)
	return c.serve(ctx, inner)
}

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == maxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) dismiss(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	close(c.ended)
}

// supersede ends the connections that a hello leaves behind: those of another boot, and of the same client. Nothing that was
// sent there is done any more when it returns, or ctx has ended.
func (s *Server) supersede(ctx context.Context, by *conn, h Hello) {
	s.mu.Lock()
	var old []*conn
	for c := range s.conns {
		if c != by && c.supersededBy(h) {
			c.cancel()
			old = append(old, c)
		}
	}
	s.mu.Unlock()
	for _, c := range old {
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
	}
}

// Changed tells the guest, where it subscribed, that keys changed up to a revision. No keys at all means: any.
// It never waits for a guest; what a slow one has not been told yet becomes one message.
func (s *Server) Changed(revision uint64, keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.changed(revision, keys)
	}
}
