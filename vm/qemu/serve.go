package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// accept serves the connections of the VM, one at a time, until it is detached. The new one wins: a monitor that comes again has
// lost the old one, whether or not that shows here.
func (m *machine) accept() {
	limit := rate.NewLimiter(connectRate, connectBurst)
	end := func() {}
	for {
		conn, err := m.listener.Accept()
		if err != nil && m.ctx.Err() == nil {
			m.driver.o.Logger.Error("a guest could not be accepted", "executor", m.executor, "error", err)
			select {
			case <-m.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		end()
		if m.ctx.Err() != nil || limit.Wait(m.ctx) != nil {
			if conn != nil {
				conn.Close()
			}
			return
		}
		end = m.serve(conn)
	}
}

// serve serves a connection, and gives what ends that.
func (m *machine) serve(conn net.Conn) (end func()) {
	ctx, cancel := context.WithCancel(m.ctx)
	ended := make(chan struct{})
	m.joined(true)
	m.driver.work.Go(func() {
		defer close(ended)
		defer cancel()
		err := m.server.Serve(ctx, conn)
		conn.Close()
		m.joined(false)
		m.driver.o.Logger.Debug("a guest's connection ended", "executor", m.executor, "error", err)
	})
	return func() {
		cancel()
		<-ended
	}
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
	switch e.Kind {
	case guest.EventLimited:
		m.audit.limited()
	case guest.EventRefused:
		m.audit.broke(e.Refusal)
	case guest.EventIgnored:
		m.audit.count(reasonGarbage)
	}
}
