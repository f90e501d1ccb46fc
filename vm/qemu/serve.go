package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm"
)

// How often a VM may connect: a monitor that loses its connection comes back at once, and no more than that is wanted.
const (
	connectRate  = 10 // a second
	connectBurst = 20
)

// acceptPause is how long a listener rests that could not accept: there may be no descriptors left.
const acceptPause = time.Second

// maxConnections is how many connections a VM may have: a virtio-serial port is one, over vsock each program of the guest has its own.
const maxConnections = 8

// accept serves the connections of the VM until it is detached. When there is one too many the new one wins: whoever comes again
// has lost the old one, whether or not that shows here.
func (m *machine) accept() {
	limit := rate.NewLimiter(connectRate, connectBurst)
	var live []connection // the oldest first
	for {
		conn, err := m.listener.Accept()
		if err == nil {
			err = limit.Wait(m.ctx)
		}
		switch {
		case m.ctx.Err() != nil:
			if conn != nil {
				conn.Close()
			}
			return
		case err != nil:
			m.driver.o.Logger.Error("a guest could not be accepted", "executor", m.executor, "error", err)
			select {
			case <-m.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		live = append(slices.DeleteFunc(live, connection.ended), m.serve(conn))
		if len(live) > maxConnections {
			live[0].end()
		}
	}
}

// connection is one that is served until its context ends.
type connection struct {
	ctx context.Context
	end func()
}

func (c connection) ended() bool { return c.ctx.Err() != nil }

// serve serves a connection.
func (m *machine) serve(conn net.Conn) connection {
	ctx, cancel := context.WithCancel(m.ctx)
	m.joined(1)
	m.driver.work.Go(func() {
		defer cancel()
		err := m.server.Serve(ctx, conn)
		m.joined(-1)
		m.driver.o.Logger.Debug("a guest's connection ended", "executor", m.executor, "error", err)
	})
	return connection{ctx, cancel}
}

var _ guest.VM = (*machine)(nil)

// Hello implements guest.VM. A guest is welcome once what it is to see is what the store says, for the boot that it tells of.
func (m *machine) Hello(ctx context.Context, h guest.Hello) (guest.Welcome, error) {
	a := m.begin(h.Boot)
	if err := a.Settle(ctx); err != nil {
		return guest.Welcome{}, fmt.Errorf("%w: %w", guest.ErrUnavailable, err)
	}
	return guest.Welcome{Executor: m.executor, Key: a.SecretKey, Revision: m.snapshot().Revision}, nil
}

// Snapshot implements guest.VM.
func (m *machine) Snapshot(ctx context.Context) (guest.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return guest.Snapshot{}, err
	}
	return m.snapshot(), nil
}

// Set implements guest.VM.
func (m *machine) Set(ctx context.Context, keys []guest.Pair) (uint64, error) {
	set := make([]extraconfig.Pair, len(keys))
	for i, p := range keys {
		set[i] = extraconfig.Pair{Key: p.Key, Value: extraconfig.Unescape(p.Value)}
	}
	select {
	case m.setting <- struct{}{}:
		defer func() { <-m.setting }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	a := m.sets(keys)
	revision, err := a.Report(ctx, set)
	m.sets(nil)
	var refusal *vm.Refusal
	switch {
	case err == nil:
		m.audit.observer.GuestSet(SetAccepted)
		return revision, nil
	case errors.As(err, &refusal):
		return 0, m.audit.refused(refusal)
	}
	m.audit.observer.GuestSet(SetFailed)
	return 0, fmt.Errorf("%w: %w", guest.ErrUnavailable, err)
}

// event counts what the server refuses without asking.
func (m *machine) event(e guest.Event) {
	switch {
	case e.ByVM: // by Set, which counts it
	case e.Kind == guest.EventLimited:
		m.audit.limited()
	case e.Kind == guest.EventRefused:
		m.audit.broke(e.Refusal)
	case e.Kind == guest.EventIgnored:
		m.audit.count(Garbage, "")
	}
}
