package push

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

// hypervisor is the model's: it has weather, every change is held to what no change may ever do, and books are kept of each VM.
type hypervisor struct {
	*vmfake.Hypervisor
	weather *vmfake.Weather
	codec   *extraconfig.Codec[executor.ExecutorConfig]

	mu     sync.Mutex      // guards all that follows
	boxes  map[string]*box // by name, and by instance
	step   int
	broken []string // what was held to and did not hold
	writes int      // changes that were made
	execs  map[string]string
}

// box is what is known of a VM.
type box struct {
	name, instance string
	snapshot       bool              // there is one
	held           map[string]bool   // digests of all persistent key sets that it ever held
	seen           map[string]int    // values that were observed since it was bound, and at which step first
	replaced       map[string]bool   // values that Apply replaced since it was bound
	back           []int             // the steps at which old values may have come back
	given          map[string]string // by key: what was last set by Apply, or accepted
	had            map[string][]int  // exit statuses that it held, and at which steps it was seen to
}

func newHypervisor(seed uint64, codec *extraconfig.Codec[executor.ExecutorConfig], names ...string) *hypervisor {
	h := &hypervisor{weather: vmfake.NewWeather(seed), codec: codec, boxes: map[string]*box{}, execs: map[string]string{}}
	h.Hypervisor = vmfake.New(vmfake.Options{Observed: h.observed, Applying: h.applying, Changed: h.changed, Hints: h.weather.Hints})
	h.OnCall(h.weather.Call(h.Hypervisor))
	for i, name := range names {
		b := &box{name: name, held: map[string]bool{}, seen: map[string]int{}, replaced: map[string]bool{}, given: map[string]string{}, had: map[string][]int{}}
		b.instance = h.Add(name)
		h.boxes[name], h.boxes[b.instance] = b, b
		h.Do(b.instance, func(v *vmfake.VM) { v.Erases = i%2 == 1 })
	}
	return h
}

// set changes keys, as an operator or a guest would.
func (h *hypervisor) set(b *box, set map[string]string, deleted ...string) {
	h.Do(b.instance, func(v *vmfake.VM) {
		for key, value := range set {
			v.Keys[key] = value
		}
		for _, key := range deleted {
			delete(v.Keys, key)
		}
	})
}

// worsen changes the share of calls that fail, and gives what it was.
func (h *hypervisor) worsen(fails float64) (was float64) {
	c := h.weather.Conditions()
	was, c.Fails = c.Fails, fails
	h.weather.Set(c)
	return was
}

func (h *hypervisor) changed(v *vmfake.VM) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.boxes[v.Instance]; b != nil {
		b.held[persistent(h.codec.Parse(v.Keys)).Digest()] = true
		b.holds(v.Keys[statusKey], h.step)
	}
}

func (b *box) holds(status string, step int) { b.had[status] = append(b.had[status], step) }

func persistent(keys extraconfig.KeySet) extraconfig.KeySet {
	return keys.Filter(func(p extraconfig.Pair) bool { return !p.NonPersistent() })
}

func (h *hypervisor) observed(instance string, s vm.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[instance]
	for _, value := range values(s.Keys) {
		if b.seen[value] == 0 {
			b.seen[value] = h.step
		}
	}
}

// values are those that the model's guests set.
func values(keys map[string]string) [2]string {
	return [2]string{keys[statusKey], prefixText(keys[assignedIP], keys[assignedMask])}
}

// with gives keys as a change makes them.
func with(keys map[string]string, c vm.Change) map[string]string {
	keys = maps.Clone(keys)
	for _, p := range c.Set {
		keys[p.Key] = p.Value
	}
	for _, key := range c.Delete {
		delete(keys, key)
	}
	return keys
}

// applying holds a change to what every change must be.
func (h *hypervisor) applying(v *vmfake.VM, c vm.Change, _ vmfake.Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes++
	b := h.boxes[v.Instance]
	held := values(v.Keys)
	for _, p := range c.Set {
		b.given[p.Key] = p.Value
		if was, ok := v.Keys[p.Key]; ok && was == p.Value {
			h.breaks("%s was set to what it was", p.Key)
		}
		guest := strings.HasPrefix(strings.ToLower(p.Key), "guestinfo.")
		if guest && (p.Scope() == extraconfig.Hidden || strings.Contains(p.Value, "HIDDEN")) {
			h.breaks("%s shows guests what is hidden", p.Key)
		}
		if p.NonPersistent() && v.Power() != vm.PowerOn {
			h.breaks("%s was set in a VM that is %s", p.Key, v.Power())
		}
		if rest, ok := strings.CutPrefix(p.Field(), "execs."); ok {
			id, _, _ := strings.Cut(rest, ".")
			boot := v.Name + "/" + v.Boot()
			if first, ok := h.execs[id]; ok && first != boot {
				h.breaks("exec %s was delivered in boots %s and %s", id, first, boot)
			}
			h.execs[id] = boot
		}
	}
	if c.Revision == 0 { // a cleaning: what it sees and takes away is an earlier binding's, and nobody remembers it
		clear(b.seen)
	}
	for i, value := range values(with(v.Keys, c)) {
		if value != held[i] && b.seen[held[i]] > 0 {
			b.replaced[held[i]] = true
		}
	}
	for _, key := range c.Delete {
		if _, ok := v.Keys[key]; !ok {
			h.breaks("%s was deleted and was not there", key)
		}
	}
}

func (h *hypervisor) breaks(format string, args ...any) {
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
}

// tick begins a step.
func (h *hypervisor) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.step++
}

// fair is the weather at the beginning.
var fair = vmfake.Conditions{Fails: 0.1, Hints: 0.7, Late: 0.3, Slow: 40 * time.Millisecond}
