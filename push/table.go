package push

import (
	"sync"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// table holds what was seen of each task's VM.
type table struct {
	mu    sync.Mutex
	rows  map[task]*row
	tasks map[string]task // by driver and instance: whose VM it is
}

type row struct {
	Status
	driver, instance string               // the VM that PushedRevision was pushed to
	behind           bool                 // the VM was seen to differ since
	inOrder          *sight               // of it, when it was last seen to hold all that it should; nil when it was not yet
	boot             string               // that the VM was last seen in
	torn             map[string]time.Time // fields that did not parse, and since when
	drifting         map[string]bool      // fields that are being put back, and were told of
	missing          time.Time            // since when there is no such VM to clean
	off              time.Time            // since when one is off that was cleaned while it ran
}

func newTable() *table { return &table{rows: map[task]*row{}, tasks: map[string]task{}} }

// was gives the VM of a binding as it was last seen in order; nil when it was not yet.
func (r row) was(b *store.Binding) *sight {
	if b == nil || r.instance != b.Instance {
		return nil
	}
	return r.inOrder
}

// hold says which of the fields that do not parse are left alone, because they did parse until a moment ago, and how long.
func (r row) hold(torn []string, now time.Time, limit time.Duration) (held map[string]bool, wait time.Duration) {
	for _, field := range torn {
		rest := limit
		if since, ok := r.torn[field]; ok {
			rest -= now.Sub(since)
		}
		if rest <= 0 {
			continue
		}
		if held == nil {
			held, wait = map[string]bool{}, rest
		}
		held[field], wait = true, min(wait, rest)
	}
	return held, wait
}

// hold is that of the row, and notes since when the fields do not parse.
func (t *table) hold(key task, torn []string, now time.Time, limit time.Duration) (held map[string]bool, wait time.Duration) {
	t.update(key, func(r *row) {
		since := map[string]time.Time{}
		for _, field := range torn {
			if at, ok := r.torn[field]; ok {
				since[field] = at
			} else {
				since[field] = now
			}
		}
		r.torn = since
		held, wait = r.hold(torn, now, limit)
	})
	return held, wait
}

func (t *table) get(key task) row {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[key]; r != nil {
		return *r
	}
	return row{Status: Status{Power: vm.PowerUnknown}}
}

func (t *table) update(key task, change func(*row)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[key]
	if r == nil {
		r = &row{Status: Status{Power: vm.PowerUnknown}}
		t.rows[key] = r
	}
	change(r)
}

func (t *table) forget(key task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[key]; r != nil {
		t.unclaim(key, r)
	}
	delete(t.rows, key)
}

// claim notes whose VM an instance is. What was seen of another one that the task had says nothing of this one.
func (t *table) claim(key task, driver, instance string) {
	t.update(key, func(r *row) {
		if r.driver != driver || r.instance != instance {
			t.unclaim(key, r)
			*r = row{Status: Status{Power: vm.PowerUnknown, LastError: r.LastError, Attempts: r.Attempts, NextRetry: r.NextRetry}}
			r.driver, r.instance = driver, instance
		}
		t.tasks[driver+"/"+instance] = key
	})
}

func (t *table) unclaim(key task, r *row) {
	if vm := r.driver + "/" + r.instance; t.tasks[vm] == key {
		delete(t.tasks, vm)
	}
}

// taskOf gives whose VM an instance is.
func (t *table) taskOf(driver, instance string) (task, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key, ok := t.tasks[driver+"/"+instance]
	return key, ok
}

// observed notes the state of a VM, and reports whether it was switched since it was last seen: by this server, or, as the binding
// tells, by the one before.
func (t *table) observed(key task, state vm.State, seen store.Sighting, now time.Time) (switched bool) {
	t.update(key, func(r *row) {
		power, boot := r.Power, r.boot
		if power == vm.PowerUnknown && seen.Power != "" {
			power, boot = vm.Power(seen.Power), seen.Boot
		}
		switched = power != vm.PowerUnknown && state.Power != vm.PowerUnknown && (power != state.Power || boot != bootOf(state))
		if r.Power != state.Power {
			r.Power, r.PowerSince = state.Power, now
		}
		r.boot, r.ObservedAt = bootOf(state), now
	})
	return switched
}

// drift notes fields that are found changed, and gives those of them that were not told of since the VM was last in order.
func (t *table) drift(key task, fields []string) (found []string) {
	t.update(key, func(r *row) {
		r.behind = true
		for _, field := range fields {
			if !r.drifting[field] {
				if r.drifting == nil {
					r.drifting = map[string]bool{}
				}
				r.drifting[field] = true
				found = append(found, field)
			}
		}
	})
	return found
}

// succeeded clears a failure.
func (t *table) succeeded(key task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[key]; r != nil {
		r.LastError, r.Attempts, r.NextRetry = "", 0, time.Time{}
	}
}

// failed notes a failure and plans the retry: exponential, with a fifth of jitter so that VMs
// which failed together do not come back together.
func (t *table) failed(key task, err error, b backoff) (attempts int, delay time.Duration) {
	t.update(key, func(r *row) {
		delay = b.after(r.Attempts)
		r.Attempts++
		r.LastError = err.Error()
		r.NextRetry = time.Now().Add(delay)
		attempts = r.Attempts
	})
	return attempts, delay
}

// backoff is how long to wait after failures.
type backoff struct {
	shortest, longest time.Duration
	jitter            func() float64 // between 0 and 1
}

func (b backoff) after(failures int) time.Duration {
	delay := min(b.longest, b.shortest<<min(failures, 20))
	return delay + time.Duration((b.jitter()-0.5)*0.4*float64(delay))
}

// missing notes that there is no VM to clean, and reports since when.
func (t *table) missing(key task, now time.Time) (since time.Time) {
	t.update(key, func(r *row) {
		if r.missing.IsZero() {
			r.missing = now
		}
		since = r.missing
	})
	return since
}

// rests notes whether a VM that was cleaned while it ran is off, and reports since when.
func (t *table) rests(key task, off bool, now time.Time) (since time.Time) {
	t.update(key, func(r *row) {
		switch {
		case !off:
			r.off = time.Time{}
		case r.off.IsZero():
			r.off = now
		}
		since = r.off
	})
	return since
}
