// Package vmfake is a hypervisor in memory, with the driver for it: it goes wrong on request, or as its Weather has it, which no real
// one does. It treats the keys of its VMs as vSphere does. push is tested on it; that it means what real drivers mean is proven by
// the suite that they pass, vm/vmtest. Only tests import it.
package vmfake

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

// Op is a method of the driver.
type Op string

// The methods that OnCall is told of.
const (
	Resolve Op = "resolve"
	Observe Op = "observe"
	Apply   Op = "apply"
	Refresh Op = "refresh"
)

// Fault is what becomes of a call; the zero value lets it succeed.
type Fault struct {
	Err  error // what the caller hears
	Done bool  // of Apply: the change is made all the same, and the answer is lost
	Late bool  // of Observe: the answer may lack what others did a moment ago; a hint follows
}

// Options are what a test sees and decides. The functions of the first three are called with the hypervisor locked, and must not call it.
type Options struct {
	// Observed is told of each answer of Observe.
	Observed func(instance string, s vm.State)
	// Applying is told of each change before it is made; f says whether its answer is lost.
	Applying func(v *VM, c vm.Change, f Fault)
	// Changed is told of each VM after it changed, whoever changed it.
	Changed func(v *VM)
	// Hints gives after which times a change is hinted at: at no time when the hint is lost. Without it, at once.
	Hints func(instance string) []time.Duration
}

// Hypervisor is a hypervisor, and the driver for it.
type Hypervisor struct {
	Options

	mu       sync.Mutex
	vms      map[string]*VM // by instance
	onCall   func(ctx context.Context, op Op, instance string) Fault
	away     bool
	watchers map[*watcher]bool
}

var (
	_ vm.Driver    = (*Hypervisor)(nil)
	_ vm.Refresher = (*Hypervisor)(nil)
)

// New makes a hypervisor without VMs.
func New(o Options) *Hypervisor {
	return &Hypervisor{Options: o, vms: map[string]*VM{}, watchers: map[*watcher]bool{}}
}

// OnCall has f called before each call of the driver is carried out. It may take its time, call the hypervisor, and says what becomes
// of the call. Of Resolve it gets the reference in place of the instance. nil is nobody.
func (h *Hypervisor) OnCall(f func(ctx context.Context, op Op, instance string) Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onCall = f
}

// SetAway has all calls answered with vm.ErrUnavailable, until it is false.
func (h *Hypervisor) SetAway(away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = away
}

// Resolve takes names, with a slash before them or without, and instances.
func (h *Hypervisor) Resolve(ctx context.Context, ref string) (string, error) {
	if f := h.begin(ctx, Resolve, ref); f.Err != nil {
		return "", f.Err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []string
	for instance, v := range h.vms {
		if v.there() && (ref == v.Name || ref == "/"+v.Name || ref == instance) {
			found = append(found, instance)
		}
	}
	switch len(found) {
	case 0:
		return "", missing(ref)
	case 1:
		return found[0], nil
	}
	return "", refusal{fmt.Sprintf("%d VMs are called %q", len(found), ref), vm.ErrAmbiguous}
}

// Observe is the driver's.
func (h *Hypervisor) Observe(ctx context.Context, instance string) (vm.State, error) {
	f := h.begin(ctx, Observe, instance)
	if f.Err != nil {
		return vm.State{}, f.Err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.vms[instance]
	if !v.there() {
		return vm.State{}, missing(instance)
	}
	s := v.state()
	if f.Late && time.Since(v.doneAt) < lag && v.before != nil {
		s = *v.before
		h.hintAt(v)
	} else {
		v.before = nil // what was told once is not missing later
	}
	v.observed = true
	if h.Observed != nil {
		h.Observed(instance, s)
	}
	s.Keys = maps.Clone(s.Keys)
	return s, nil
}

// lag is how old an answer of Observe may be.
const lag = 100 * time.Millisecond

// Refresh has Observe lack nothing that happened before.
func (h *Hypervisor) Refresh(ctx context.Context) error {
	if f := h.begin(ctx, Refresh, ""); f.Err != nil {
		return f.Err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.vms {
		v.before = nil
	}
	return nil
}

// Apply is the driver's.
func (h *Hypervisor) Apply(ctx context.Context, instance string, c vm.Change) error {
	if c.Empty() {
		return nil
	}
	f := h.begin(ctx, Apply, instance)
	if f.Err != nil && !f.Done {
		return f.Err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.vms[instance]
	if !v.there() {
		return missing(instance)
	}
	v.before = nil // after Apply nothing is missing from what is observed, least of all after a conflict
	if c.Version != "" && c.Version != strconv.Itoa(v.version) {
		return refusal{fmt.Sprintf("VM %q was changed by somebody else", v.Name), vm.ErrConflict}
	}
	if h.Applying != nil {
		h.Applying(v, c, f)
	}
	for _, p := range c.Set {
		v.Keys[p.Key] = p.Value
	}
	for _, key := range c.Delete {
		delete(v.Keys, key)
	}
	if len(c.SecretKey) > 0 || c.Forget {
		v.secret = secret{string(c.SecretKey), v.power != vm.PowerOff}
	}
	h.changed(v)
	return f.Err
}

// begin says what becomes of a call.
func (h *Hypervisor) begin(ctx context.Context, op Op, instance string) Fault {
	if err := ctx.Err(); err != nil {
		return Fault{Err: err}
	}
	h.mu.Lock()
	onCall := h.onCall
	h.mu.Unlock()
	var f Fault
	if onCall != nil {
		f = onCall(ctx, op, instance)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return Fault{Err: Unavailable}
	}
	return f
}

// Close does nothing: there is no session to end.
func (h *Hypervisor) Close(context.Context) error { return nil }

// refusal is an error of a kind, in words for people.
type refusal struct {
	text string
	kind error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.kind }

func missing(ref string) error {
	return refusal{fmt.Sprintf("VM %q does not exist", ref), vm.ErrNotFound}
}

// What a hypervisor says when it does not do what it is asked.
var (
	Unavailable error = refusal{"the hypervisor cannot be reached", vm.ErrUnavailable}
	Busy        error = refusal{"the hypervisor refuses: another task is in progress", nil}
)
