package vmfake

import (
	"context"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

type watcher struct{ hint func(instance string) }

// changed is called after every change of a VM.
func (h *Hypervisor) changed(v *VM) {
	v.version++
	if v.power == vm.PowerOff {
		v.Keep()
	}
	if h.Changed != nil {
		h.Changed(v)
	}
	h.hintAt(v)
}

// hintAt hints at a VM, when the weather is for it.
func (h *Hypervisor) hintAt(v *VM) {
	after := []time.Duration{0}
	if h.Hints != nil {
		after = h.Hints(v.Instance)
	}
	for _, d := range after {
		if d <= 0 {
			h.hint(v.Instance)
		} else {
			time.AfterFunc(d, func() { h.Hint(v.Instance) })
		}
	}
}

// Watch is the driver's.
func (h *Hypervisor) Watch(ctx context.Context, hint func(instance string)) error {
	w := &watcher{hint}
	h.mu.Lock()
	h.watchers[w] = true
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	delete(h.watchers, w)
	h.mu.Unlock()
	return ctx.Err()
}

// Hint tells everybody who watches that a VM may have changed.
func (h *Hypervisor) Hint(instance string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hint(instance)
}

func (h *Hypervisor) hint(instance string) {
	for w := range h.watchers {
		w.hint(instance)
	}
}
