package push

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/vmexecutor/config-server/vm"
)

// fakeDriver is a hypervisor in memory that can be told to fail: what no real one does on request.
// That the real ones behave like it otherwise is held by the conformance suite of vm/vmtest.
type fakeDriver struct {
	mu      sync.Mutex
	vms     map[string]*fakeVM // by instance
	names   map[string]string  // reference -> instance
	applied []applied          // every change that was made
	looked  int                // calls of Observe
	fail    func(op, instance string) error
	lost    bool // what fail lets fail in Apply is done all the same
	hint    func(instance string)
	during  func(op, instance string) // called without the lock, before the work is done
}

type fakeVM struct {
	keys    map[string]string
	power   vm.Power
	version int
	epoch   int // moved by those who switch or revert it
}

type applied struct {
	instance string
	set      map[string]string
	deleted  []string
}

var _ vm.Driver = (*fakeDriver)(nil)

func newFakeDriver() *fakeDriver {
	return &fakeDriver{vms: map[string]*fakeVM{}, names: map[string]string{}}
}

// add makes a VM that is on and holds a key of another tool.
func (d *fakeDriver) add(name string) (instance string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	instance = "instance-of-" + name
	d.names[name] = instance
	d.vms[instance] = &fakeVM{keys: map[string]string{"guestinfo.metadata": "another tool's"}, power: vm.PowerOn}
	return instance
}

func (d *fakeDriver) begin(op, instance string) error {
	d.mu.Lock()
	fail, during := d.fail, d.during
	d.mu.Unlock()
	if during != nil {
		during(op, instance)
	}
	if fail != nil {
		return fail(op, instance)
	}
	return nil
}

func (d *fakeDriver) Resolve(_ context.Context, ref string) (string, error) {
	if err := d.begin("resolve", ref); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if instance, ok := d.names[ref]; ok {
		return instance, nil
	}
	return "", fmt.Errorf("VM %q does not exist: %w", ref, vm.ErrNotFound)
}

func (d *fakeDriver) Observe(_ context.Context, instance string) (vm.State, error) {
	if err := d.begin("observe", instance); err != nil {
		return vm.State{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looked++
	m := d.vms[instance]
	if m == nil {
		return vm.State{}, vm.ErrNotFound
	}
	return vm.State{Keys: maps.Clone(m.keys), Power: m.power, Version: strconv.Itoa(m.version), Epoch: strconv.Itoa(m.epoch)}, nil
}

func (d *fakeDriver) Apply(_ context.Context, instance string, c vm.Change) error {
	answer := d.begin("apply", instance)
	if answer != nil && !d.loses() {
		return answer
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.vms[instance]
	switch {
	case m == nil:
		return vm.ErrNotFound
	case c.Version != strconv.Itoa(m.version):
		return vm.ErrConflict
	}
	a := applied{instance: instance, set: map[string]string{}, deleted: c.Delete}
	for _, p := range c.Set {
		m.keys[p.Key] = p.Value
		a.set[p.Key] = p.Value
	}
	for _, k := range c.Delete {
		delete(m.keys, k)
	}
	m.version++
	d.applied = append(d.applied, a)
	return answer
}

func (d *fakeDriver) loses() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

func (d *fakeDriver) Watch(ctx context.Context, hint func(instance string)) error {
	d.mu.Lock()
	d.hint = hint
	d.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (d *fakeDriver) Close(context.Context) error { return nil }

// guest lets the guest, or anybody else behind our back, change a VM.
func (d *fakeDriver) guest(instance string, change func(*fakeVM)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.vms[instance])
	d.vms[instance].version++
}

func (d *fakeDriver) get(instance, key string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.vms[instance].keys[key]
}

func (d *fakeDriver) keys(instance string) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.vms[instance].keys)
}

func (d *fakeDriver) setFail(f func(op, instance string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

func (d *fakeDriver) setDuring(f func(op, instance string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.during = f
}

// changes gives the changes made since the last call.
func (d *fakeDriver) changes() []applied {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.applied
	d.applied = nil
	return a
}
