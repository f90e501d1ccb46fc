package vmfake

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// Weather is how a hypervisor misbehaves. What it does to one VM follows from the seed and from what was asked of that VM before: not
// from the order in which VMs have their turn.
type Weather struct {
	mu    sync.Mutex
	seed  uint64
	bad   Conditions
	dices map[string]*rand.Rand // by VM, and by what is rolled for
}

// Conditions are the odds.
type Conditions struct {
	Fails float64       // share of calls that fail
	Hints float64       // share of changes that are hinted at
	Late  float64       // share of those hints that come later, and once more
	Slow  time.Duration // the longest time that a call takes
}

// NewWeather makes weather that is fair until Set. A hypervisor has it by OnCall(w.Call) and Options.Hints = w.Hints.
func NewWeather(seed uint64) *Weather {
	return &Weather{seed: seed, bad: Conditions{Hints: 1}, dices: map[string]*rand.Rand{}}
}

// Set changes the weather, and Conditions tells it.
func (w *Weather) Set(c Conditions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = c
}

// Conditions are those that Set made.
func (w *Weather) Conditions() Conditions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad
}

func (w *Weather) dice(what string) *rand.Rand {
	if w.dices[what] == nil {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(what))
		w.dices[what] = rand.New(rand.NewPCG(w.seed, hash.Sum64())) //nolint:gosec // not a secret
	}
	return w.dices[what]
}

// Call is for OnCall of h: calls take a while, and fail: the connection breaks before or after a change is made, another task is in
// progress, somebody else changes the VM first.
func (w *Weather) Call(h *Hypervisor) func(ctx context.Context, op Op, instance string) Fault {
	return func(ctx context.Context, op Op, instance string) Fault {
		took, f, raced := w.roll(instance)
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return Fault{Err: ctx.Err()}
		}
		if raced && op == Apply {
			h.Do(instance, func(*VM) {})
		}
		return f
	}
}

func (w *Weather) roll(instance string) (took time.Duration, f Fault, raced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dice := w.dice("calls of " + instance)
	if w.bad.Slow > 0 {
		took = 1 + time.Duration(dice.Int64N(int64(w.bad.Slow)))
	}
	bad, kind := dice.Float64() < w.bad.Fails, dice.IntN(6)
	if !bad {
		return took, Fault{}, false
	}
	switch kind {
	case 0, 1:
		return took, Fault{}, true
	case 2, 3:
		return took, Fault{Err: Busy}, false
	}
	return took, Fault{Err: Unavailable, Done: kind == 4}, false
}

// Hints is for Options.
func (w *Weather) Hints(instance string) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	dice := w.dice("hints of " + instance)
	hinted, late, after := dice.Float64() < w.bad.Hints, dice.Float64() < w.bad.Late, time.Duration(dice.Int64N(int64(100*time.Millisecond)))
	switch {
	case !hinted:
		return nil
	case late:
		return []time.Duration{after, 2 * after}
	}
	return []time.Duration{0}
}
