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
	dices map[string]*dice // by VM, and by what is rolled for
}

// Conditions are the odds.
type Conditions struct {
	Fails float64       // share of calls that fail
	Hints float64       // share of changes that are hinted at
	Late  float64       // share of those hints that come later, and once more; and of looks that lack what happened a moment ago
	Slow  time.Duration // the longest time that a call takes
}

// NewWeather makes weather that is fair until Set. A hypervisor has it by OnCall(w.Call) and Options.Hints = w.Hints.
func NewWeather(seed uint64) *Weather {
	return &Weather{seed: seed, bad: Conditions{Hints: 1}, dices: map[string]*dice{}}
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

// dice are three rolls, each from 0 to 1.
type dice struct {
	rng              *rand.Rand
	at               time.Time
	luck, kind, long float64
}

// dice rolls for something. In one and the same instant it is rolled once: who comes first in it is the scheduler's to say, and time
// is not real in the tests where that matters.
func (w *Weather) dice(what string) *dice {
	d := w.dices[what]
	if d == nil {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(what))
		d = &dice{rng: rand.New(rand.NewPCG(w.seed, hash.Sum64()))} //nolint:gosec // not a secret
		w.dices[what] = d
	}
	if now := time.Now(); !now.Equal(d.at) {
		d.at, d.luck, d.kind, d.long = now, d.rng.Float64(), d.rng.Float64(), d.rng.Float64()
	}
	return d
}

// Call is for OnCall of h: calls take a while, and fail: the connection breaks before or after a change is made, another task is in
// progress, somebody else changes the VM first.
func (w *Weather) Call(h *Hypervisor) func(ctx context.Context, op Op, instance string) Fault {
	return func(ctx context.Context, op Op, instance string) Fault {
		took, f, raced := w.roll(op, instance)
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return Fault{Err: ctx.Err()}
		}
		if raced {
			h.Do(instance, func(*VM) {})
		}
		return f
	}
}

func (w *Weather) roll(op Op, instance string) (took time.Duration, f Fault, raced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dice("calls of " + instance)
	if w.bad.Slow > 0 {
		took = 1 + time.Duration(d.long*float64(w.bad.Slow))
	}
	kind := int(d.kind * 6)
	switch {
	case d.luck >= w.bad.Fails:
		return took, Fault{Late: d.kind < w.bad.Late}, false
	case kind < 2 && op == Apply:
		return took, Fault{}, true
	case kind < 4:
		return took, Fault{Err: Busy}, false
	}
	return took, Fault{Err: Unavailable, Done: kind == 4}, false
}

// Hints is for Options.
func (w *Weather) Hints(instance string) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dice("hints of " + instance)
	after := time.Duration(d.long * float64(100*time.Millisecond))
	switch {
	case d.luck >= w.bad.Hints:
		return nil
	case d.kind < w.bad.Late:
		return []time.Duration{after, 2 * after}
	}
	return []time.Duration{0}
}
