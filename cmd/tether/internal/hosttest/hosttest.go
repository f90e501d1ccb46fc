// Package hosttest is the host's side for the agent's own tests: it serves one guest, over the real protocol, from an
// executor in memory. It is for tests alone; what needs the real server is tested with that.
package hosttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// Host has the executor of one guest.
type Host struct {
	codec  *extraconfig.Codec[executor.ExecutorConfig]
	server *guest.Server

	mu       sync.Mutex
	config   *executor.ExecutorConfig
	revision uint64
	hellos   []guest.Hello
	changed  chan struct{} // closed when anything did, and made anew
}

var _ guest.VM = (*Host)(nil)

// secret is the key that the executor's secrets are sealed with.
var secret = []byte("0123456789abcdef0123456789abcdef")

// New begins with a configuration.
func New(config *executor.ExecutorConfig) (*Host, error) {
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		return nil, err
	}
	config.Canonicalize()
	h := &Host{codec: codec, config: config, revision: 1, changed: make(chan struct{})}
	h.server = guest.NewServer(h, guest.Options{})
	return h, config.Validate()
}

// Serve serves the guest on each connection, until ctx ends.
func (h *Host) Serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _ = h.server.Serve(ctx, conn) }() // how it ends is the guest's affair
	}
}

// Change changes the configuration, as a client of the server would.
func (h *Host) Change(change func(*executor.ExecutorConfig)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.config.Clone()
	change(next)
	next.Canonicalize()
	if err := next.Validate(); err != nil {
		return err
	}
	h.move(next)
	return nil
}

// move makes a configuration the present one. The Host is locked.
func (h *Host) move(next *executor.ExecutorConfig) {
	h.config = next
	h.revision++
	close(h.changed)
	h.changed = make(chan struct{})
	h.server.Changed(h.revision)
}

// Await waits until the configuration is as a test wants it.
func (h *Host) Await(ctx context.Context, is func(*executor.ExecutorConfig) bool) (*executor.ExecutorConfig, error) {
	for {
		h.mu.Lock()
		config, changed := h.config.Clone(), h.changed
		h.mu.Unlock()
		if is(config) {
			return config, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return config, fmt.Errorf("the guest did not report what was awaited: %w", context.Cause(ctx))
		}
	}
}

// Hellos are those that came so far.
func (h *Host) Hellos() []guest.Hello {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]guest.Hello(nil), h.hellos...)
}

// Hello welcomes the guest.
func (h *Host) Hello(_ context.Context, hello guest.Hello) (guest.Welcome, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hellos = append(h.hellos, hello)
	return guest.Welcome{Executor: h.config.ID, Key: secret, Revision: h.revision}, nil
}

// Snapshot gives what the guest may see.
func (h *Host) Snapshot(context.Context) (guest.Snapshot, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, err := h.codec.Encode(h.config, extraconfig.WithSecretKey(secret))
	if err != nil {
		return guest.Snapshot{}, err
	}
	s := guest.Snapshot{Revision: h.revision}
	for p := range keys.Filter(func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() }).All() {
		s.Keys = append(s.Keys, guest.Pair{Key: p.Key, Value: extraconfig.Escape(p.Value)})
	}
	return s, nil
}

// Set takes reports, and nothing else.
func (h *Host) Set(_ context.Context, pairs []guest.Pair) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.config.Clone()
	keys, err := h.codec.Encode(next, extraconfig.WithSecretKey(secret))
	if err != nil {
		return 0, err
	}
	held := keys.Map()
	for _, p := range pairs {
		held[p.Key] = extraconfig.Unescape(p.Value)
	}
	known := h.codec.Parse(held)
	for _, p := range pairs {
		if k, ok := known.Get(p.Key); !ok || k.Scope() != extraconfig.ReadWrite {
			return 0, &guest.Refusal{Key: p.Key, Reason: "not the guest's"}
		}
	}
	if _, err := h.codec.DecodeReports(next, held, func(string) bool { return true }); err != nil {
		var faults extraconfig.Errors
		if errors.As(err, &faults) {
			return 0, &guest.Refusal{Key: faults[0].Key, Reason: faults[0].Reason}
		}
		return 0, err
	}
	h.move(next)
	return h.revision, nil
}
