package push

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// hypervisor is one that takes its time, fails at random, and treats the keys of its VMs as vSphere does: what was changed while a
// VM ran is lost when it is switched off. It holds every change that is made to what no change may ever do.
type hypervisor struct {
	mu     sync.Mutex
	rng    *rand.Rand
	codec  *extraconfig.Codec[executor.ExecutorConfig]
	boxes  map[string]*box
	faulty float64 // share of calls that fail
	hints  float64 // share of changes that are hinted at
	hint   func(string)
	step   int
	broken []string // what was held to and did not hold
	writes int      // changes that were made
	execs  map[string]string
}

// box is a VM.
type box struct {
	name       string
	keys       map[string]string
	persistent map[string]string // what a power-off brings back
	erases     bool              // a power-off erases what was changed, instead
	power      vm.Power
	version    int
	epoch      int
	snapshot   *box
	held       map[string]bool           // digests of all persistent key sets that it ever held
	seen       map[string]int            // values that were observed, and at which step first
	lost       map[string]int            // by key: at which step it was set, and the answer lost
	given      map[string]string         // by key: what was last set by Apply, or accepted
	written    map[string]map[string]int // by key: values set by Apply, or seen, and at which step last
}

func newHypervisor(rng *rand.Rand, codec *extraconfig.Codec[executor.ExecutorConfig], names ...string) *hypervisor {
	h := &hypervisor{rng: rng, codec: codec, boxes: map[string]*box{}, execs: map[string]string{}}
	for i, name := range names {
		b := &box{name: name, keys: map[string]string{}, persistent: map[string]string{}, power: vm.PowerOn, erases: i%2 == 1}
		b.seen, b.lost, b.held, b.given, b.written = map[string]int{}, map[string]int{}, map[string]bool{}, map[string]string{}, map[string]map[string]int{}
		h.boxes[name] = b
	}
	return h
}

// changed is called with the lock after every change of a VM.
func (h *hypervisor) changed(b *box) {
	b.version++
	b.held[persistent(h.codec.Parse(b.keys)).Digest()] = true
	if h.hint != nil && h.rng.Float64() < h.hints {
		go h.hint(b.name)
	}
}

func persistent(keys extraconfig.KeySet) extraconfig.KeySet {
	return keys.Filter(func(p extraconfig.Pair) bool { return !p.NonPersistent() })
}

// set changes keys, as an operator or a guest would.
func (h *hypervisor) set(b *box, set map[string]string, deleted ...string) {
	maps.Copy(b.keys, set)
	for _, key := range deleted {
		delete(b.keys, key)
	}
	if b.power == vm.PowerOff {
		b.persistent = maps.Clone(b.keys)
	}
	h.changed(b)
}

func (h *hypervisor) turn(b *box, power vm.Power) {
	if power == vm.PowerOff && b.power != vm.PowerOff {
		if b.erases {
			for key, value := range b.keys {
				if b.persistent[key] != value {
					delete(b.keys, key)
				}
			}
		} else {
			b.keys = maps.Clone(b.persistent)
		}
		b.persistent = maps.Clone(b.keys)
	}
	if (power == vm.PowerOff) != (b.power == vm.PowerOff) {
		b.epoch++
	}
	b.power = power
	h.changed(b)
}

func (h *hypervisor) snap(b *box) {
	b.snapshot = &box{keys: maps.Clone(b.keys), persistent: maps.Clone(b.persistent)}
}

// revert goes back to a snapshot without memory: the VM is off then.
func (h *hypervisor) revert(b *box) {
	b.keys, b.persistent = maps.Clone(b.snapshot.keys), maps.Clone(b.snapshot.keys)
	b.power = vm.PowerOff
	b.epoch++
	h.changed(b)
}

var errTask = errors.New("the task failed: another is in progress")

// call takes a while, and fails now and then.
func (h *hypervisor) call(ctx context.Context) (fault error, after bool) {
	h.mu.Lock()
	took := time.Duration(1+h.rng.IntN(40)) * time.Millisecond
	if h.rng.Float64() < h.faulty {
		fault = []error{vm.ErrUnavailable, vm.ErrConflict, errTask}[h.rng.IntN(3)]
		after = h.rng.IntN(2) == 0
	}
	h.mu.Unlock()
	select {
	case <-time.After(took):
		return fault, after
	case <-ctx.Done():
		return ctx.Err(), false
	}
}

func (h *hypervisor) Resolve(ctx context.Context, ref string) (string, error) {
	if err, _ := h.call(ctx); err != nil {
		return "", err
	}
	return ref, nil
}

func (h *hypervisor) Observe(ctx context.Context, instance string) (vm.State, error) {
	if err, _ := h.call(ctx); err != nil {
		return vm.State{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[instance]
	if value, ok := b.keys[statusKey]; ok {
		if b.written[statusKey] == nil {
			b.written[statusKey] = map[string]int{}
		}
		b.written[statusKey][value] = h.step // it need not be set any more
	}
	for _, value := range []string{b.keys[statusKey], prefixText(b.keys[assignedIP], b.keys[assignedMask])} {
		if b.seen[value] == 0 {
			b.seen[value] = h.step
		}
	}
	return vm.State{Keys: maps.Clone(b.keys), Power: b.power, Version: strconv.Itoa(b.version), Epoch: strconv.Itoa(b.epoch)}, nil
}

func (h *hypervisor) Apply(ctx context.Context, instance string, c vm.Change) error {
	fault, after := h.call(ctx)
	if fault != nil && !(after && errors.Is(fault, vm.ErrUnavailable)) {
		return fault
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[instance]
	if c.Version != strconv.Itoa(b.version) {
		return vm.ErrConflict
	}
	h.check(b, c)
	set := map[string]string{}
	for _, p := range c.Set {
		set[p.Key] = p.Value
		if b.written[p.Key] == nil {
			b.written[p.Key] = map[string]int{}
		}
		if fault != nil {
			b.lost[p.Key] = h.step
		}
		b.written[p.Key][p.Value], b.given[p.Key] = h.step, p.Value
	}
	h.writes++
	h.set(b, set, c.Delete...)
	return fault
}

// check holds a change to what every change must be.
func (h *hypervisor) check(b *box, c vm.Change) {
	if c.Empty() {
		h.breaks("an empty change")
	}
	for _, p := range c.Set {
		if was, ok := b.keys[p.Key]; ok && was == p.Value {
			h.breaks("%s was set to what it was", p.Key)
		}
		guest := strings.HasPrefix(strings.ToLower(p.Key), "guestinfo.")
		if guest && (p.Scope() == extraconfig.Hidden || strings.Contains(p.Value, "HIDDEN")) {
			h.breaks("%s shows guests what is hidden", p.Key)
		}
		if p.NonPersistent() && b.power != vm.PowerOn {
			h.breaks("%s was set in a VM that is %s", p.Key, b.power)
		}
		if rest, ok := strings.CutPrefix(p.Field(), "execs."); ok {
			id, _, _ := strings.Cut(rest, ".")
			boot := fmt.Sprintf("%s/%d", b.name, b.epoch)
			if first, ok := h.execs[id]; ok && first != boot {
				h.breaks("exec %s was delivered in boots %s and %s", id, first, boot)
			}
			h.execs[id] = boot
		}
	}
	for _, key := range c.Delete {
		if _, ok := b.keys[key]; !ok {
			h.breaks("%s was deleted and was not there", key)
		}
	}
}

func (h *hypervisor) breaks(format string, args ...any) {
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
}

func (h *hypervisor) Watch(ctx context.Context, hint func(string)) error {
	h.mu.Lock()
	h.hint = hint
	h.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (h *hypervisor) Close(context.Context) error { return nil }
