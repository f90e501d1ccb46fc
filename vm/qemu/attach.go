package qemu

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm"
)

// Attach implements vm.Host.
func (d *Driver) Attach(ctx context.Context, instance string, a vm.Attachment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return vm.ErrUnavailable
	}
	m := d.machines[instance]
	if m != nil && m.executor == a.Executor && m.ref == a.Ref {
		m.attached(a)
		return nil
	}
	d.detachLocked(instance)
	if other := d.executors[a.Executor]; other != nil {
		d.detachLocked(other.instance)
	}
	_, qmp, err := parseRef(a.Ref)
	if err != nil {
		return fmt.Errorf("reference %q %w", a.Ref, err)
	}
	path, err := d.Socket(a.Executor)
	if err != nil {
		return err
	}
	listener, err := d.o.listen(path)
	if err != nil {
		return fmt.Errorf("listen for the guest: %w", err)
	}
	m = &machine{
		driver: d, instance: instance, executor: a.Executor, ref: a.Ref, epoch: a.Epoch, listener: listener, setting: make(chan struct{}, 1),
		audit: audit{log: d.o.Logger, observer: d.o.Observer, executor: a.Executor, limit: rate.NewLimiter(auditRate, auditBurst)},
	}
	m.ctx, m.detach = context.WithCancel(d.ctx)
	m.attached(a)
	m.server = guest.NewServer(m, guest.Options{Software: d.o.Software, Log: d.o.Logger, Event: m.event})
	d.machines[instance], d.executors[a.Executor] = m, m
	d.work.Go(m.accept)
	if qmp != "" {
		m.kick = make(chan struct{}, 1)
		d.work.Go(func() { m.followQMP(qmp) })
	}
	return nil
}

// Detach implements vm.Host.
func (d *Driver) Detach(ctx context.Context, instance string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.detachLocked(instance)
	return nil
}

// detachLocked does not wait for what the guest has under way: that may wait for the caller.
func (d *Driver) detachLocked(instance string) {
	m := d.machines[instance]
	if m == nil {
		return
	}
	m.detach()
	_ = m.listener.Close() // which says that it is closed, at worst
	delete(d.machines, instance)
	delete(d.executors, m.executor)
}

// machine gives what is attached.
func (d *Driver) machine(ctx context.Context, instance string) (*machine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, closed := d.lookUp(instance)
	switch {
	case closed:
		return nil, vm.ErrUnavailable
	case m != nil:
		return m, nil
	}
	return nil, fmt.Errorf("VM %q is not attached, so that it holds nothing: %w", instance, vm.ErrNotFound)
}

func (d *Driver) lookUp(instance string) (m *machine, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machines[instance], d.closed
}

// Observe implements vm.Driver.
func (d *Driver) Observe(ctx context.Context, instance string) (vm.State, error) {
	m, err := d.machine(ctx, instance)
	if err != nil {
		return vm.State{}, err
	}
	return m.state(), nil
}

// Apply implements vm.Driver.
func (d *Driver) Apply(ctx context.Context, instance string, c vm.Change) error {
	m, err := d.machine(ctx, instance)
	if err != nil || c.Empty() {
		return err
	}
	return m.apply(c)
}

// Settled implements vm.Host.
func (d *Driver) Settled(instance string, revision uint64) {
	if m, _ := d.lookUp(instance); m != nil {
		m.settled(revision)
	}
}
