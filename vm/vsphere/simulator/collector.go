package simulator

import (
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	// gather is the least time between two answers to whoever waits, so that updates come together
	// under load. The first update after a quiet time is told at once.
	gather = 10 * time.Millisecond
	// maxUpdates is vCenter's own limit of objects in one answer.
	maxUpdates = 100
)

// filter is what somebody watches. Its collector's lock guards it.
type filter struct {
	ref     types.ManagedObjectReference
	spec    types.PropertyFilterSpec
	partial bool
	paths   map[string]watched // by kind of object
	stale   bool               // the selection has to be made anew
	via     map[types.ManagedObjectReference]bool
	known   map[types.ManagedObjectReference]bool // what is selected, and whether the client was told of it
	queue   []types.ManagedObjectReference        // what is dirty, longest first
	dirty   map[types.ManagedObjectReference]*dirt
}

// watched are the properties of a kind of object that a filter asks for.
type watched struct {
	all   bool
	paths []string
}

// dirt is what the client has to be told of an object that it knows.
type dirt struct {
	left  bool
	paths map[string]bool
	keys  map[string]bool // of the extraConfig, with whether the client knows them
}

func (f *filter) watches(ref types.ManagedObjectReference, t reflect.Type) watched {
	if w, ok := f.paths[ref.Type]; ok || t == nil {
		return w
	}
	var w watched
	for _, p := range f.spec.PropSet {
		if isKind(t, ref, p.Type) {
			w.all = w.all || isTrue(p.All)
			w.paths = append(w.paths, p.PathSet...)
		}
	}
	f.paths[ref.Type] = w
	return w
}

func (f *filter) soil(ref types.ManagedObjectReference) *dirt {
	d := f.dirty[ref]
	if d == nil {
		d = new(dirt)
		f.dirty[ref] = d
		f.queue = append(f.queue, ref)
	}
	return d
}

// leave takes an object out of the selection.
func (f *filter) leave(ref types.ManagedObjectReference) {
	told, selected := f.known[ref]
	delete(f.known, ref)
	switch {
	case !selected:
	case told:
		*f.soil(ref) = dirt{left: true}
	default: // the client never heard of it
		delete(f.dirty, ref)
		f.queue = slices.DeleteFunc(f.queue, func(r types.ManagedObjectReference) bool { return r == ref })
	}
}

// changed notes a change; it reports whether there is something to tell.
func (f *filter) changed(ref types.ManagedObjectReference, t reflect.Type, c change) bool {
	if f.via[ref] {
		f.stale = true
	}
	told, selected := f.known[ref]
	if !selected {
		return f.stale
	}
	if !told {
		return true // it is to enter, with all that it holds by then
	}
	w := f.watches(ref, t)
	note := func(at string) {
		d := f.soil(ref)
		if d.paths == nil {
			d.paths = make(map[string]bool)
		}
		d.paths[at] = true
	}
	concerns := func(changed string) {
		for _, at := range w.paths {
			if related(at, changed) {
				note(at)
			}
		}
		if w.all {
			note(firstPart(changed))
		}
	}
	for _, changed := range c.paths {
		concerns(changed)
	}
	if len(c.keys) > 0 {
		if f.partial && !w.all && slices.Contains(w.paths, extraConfig) {
			d := f.soil(ref)
			if d.keys == nil {
				d.keys = make(map[string]bool)
			}
			for key, existed := range c.keys {
				if _, noted := d.keys[key]; !noted {
					d.keys[key] = existed
				}
			}
		} else {
			concerns(extraConfig)
		}
	}
	return f.stale || f.dirty[ref] != nil
}

func firstPart(at string) string {
	for i, r := range at {
		if r == '.' || r == '[' {
			return at[:i]
		}
	}
	return at
}

// collector is a property collector: filters, and what its client was told of them.
type collector struct {
	waits sync.Mutex // held by the one call that waits
	wake  chan struct{}

	mu       sync.Mutex
	filters  []*filter
	version  int
	last     *types.UpdateSet // for a client that did not get the last answer
	answered time.Time
	wait     chan struct{} // closed to cancel the wait under way; nil when there is none
}

func newCollector() *collector { return &collector{wake: make(chan struct{}, 1)} }

func (c *collector) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *collector) changed(ref types.ManagedObjectReference, t reflect.Type, ch change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.filters {
		if f.changed(ref, t, ch) {
			c.rouse()
		}
	}
}

func (c *collector) removed(ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.filters {
		if _, selected := f.known[ref]; selected {
			f.leave(ref)
			c.rouse()
		}
	}
}

func (c *collector) add(f *filter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filters = append(c.filters, f)
	f.restart()
	c.rouse()
}

func (c *collector) remove(ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filters = slices.DeleteFunc(c.filters, func(f *filter) bool { return f.ref == ref })
}

func (c *collector) all() (refs []types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.filters {
		refs = append(refs, f.ref)
	}
	return refs
}

// restart forgets what the client was told.
func (f *filter) restart() {
	f.stale, f.queue = true, nil
	f.via = make(map[types.ManagedObjectReference]bool)
	f.known = make(map[types.ManagedObjectReference]bool)
	f.dirty = make(map[types.ManagedObjectReference]*dirt)
}

// cancel ends the wait under way, if there is one.
func (c *collector) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait != nil {
		close(c.wait)
		c.wait = nil
	}
}

func (c *collector) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait != nil
}

// waitOptions bound a wait.
type waitOptions struct {
	limit   time.Duration // how long; negative: for ever
	objects int
}

// waitFor answers with what changed since that version, nil when the time is over. A second call
// ends the first.
func (c *collector) waitFor(r reader, version string, o waitOptions) (*types.UpdateSet, types.BaseMethodFault) {
	c.cancel()
	c.waits.Lock()
	defer c.waits.Unlock()
	cancelled, again, fault := c.begin(version)
	if again != nil || fault != nil {
		return again, fault
	}
	defer func() {
		c.mu.Lock()
		if c.wait == cancelled {
			c.wait = nil
		}
		c.mu.Unlock()
	}()
	over := make(<-chan time.Time)
	if o.limit > 0 {
		timer := time.NewTimer(o.limit)
		defer timer.Stop()
		over = timer.C
	}
	for {
		c.mu.Lock()
		rest := gather - time.Since(c.answered)
		c.mu.Unlock()
		if version != "" && o.limit != 0 && rest > 0 && !c.more() {
			select {
			case <-time.After(rest):
			case <-cancelled:
				return nil, new(types.RequestCanceled)
			}
		}
		if fault := c.refresh(r); fault != nil {
			return nil, fault
		}
		if set := c.take(r, o.objects, version == ""); set != nil {
			return set, nil
		}
		if o.limit == 0 {
			return nil, nil
		}
		select {
		case <-c.wake:
		case <-over:
			return nil, nil
		case <-cancelled:
			return nil, new(types.RequestCanceled)
		}
	}
}

// begin checks what version the client has. Who asks again with the version before the last did not
// get the last answer, and gets it again.
func (c *collector) begin(version string) (cancelled chan struct{}, again *types.UpdateSet, fault types.BaseMethodFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch version {
	case "":
		for _, f := range c.filters {
			f.restart()
		}
	case strconv.Itoa(c.version):
		if c.version == 0 {
			return nil, nil, new(types.InvalidCollectorVersion)
		}
	case strconv.Itoa(c.version - 1):
		if c.last == nil || c.version == 1 {
			return nil, nil, new(types.InvalidCollectorVersion)
		}
		return nil, c.last, nil
	default:
		return nil, nil, new(types.InvalidCollectorVersion)
	}
	c.wait = make(chan struct{})
	return c.wait, nil, nil
}

// more reports whether the last answer did not hold all that there was.
func (c *collector) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last != nil && isTrue(c.last.Truncated)
}
