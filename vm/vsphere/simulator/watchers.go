package simulator

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// owned is what belongs to a session: every session has a property collector of the same reference.
type owned struct {
	session string
	ref     types.ManagedObjectReference
}

func own(session, kind string) owned {
	return owned{session, types.ManagedObjectReference{Type: kind, Value: "session[" + session + "]" + uuid.NewString()}}
}

// watchers are the property collectors and list views of all sessions. They stand in for govmomi's,
// which collect all objects of all filters again for each update of any.
//
// Locks are taken in this order: an object's, mu, a collector's.
type watchers struct {
	mu         sync.RWMutex
	collectors map[owned]*collector
	filters    map[owned]*collector // the collector that a filter is of
	views      map[owned]*listView
}

func newWatchers() *watchers {
	return &watchers{collectors: make(map[owned]*collector), filters: make(map[owned]*collector), views: make(map[owned]*listView)}
}

// change is what changed of an object.
type change struct {
	paths []string
	// keys of the extraConfig that changed, with whether they were there before; no path says it.
	keys map[string]bool
}

// tell tells whoever watches a VM, whose lock is held, of all that one event changed: nobody sees half of it.
func (s *Simulator) tell(vm *simulator.VirtualMachine, changes ...change) {
	var all change
	for _, c := range changes {
		all.paths = append(all.paths, c.paths...)
		if all.keys == nil {
			all.keys = c.keys
		} else {
			maps.Copy(all.keys, c.keys)
		}
	}
	s.watchers.changed(vm.Self, vmType, all)
}

// changed tells whoever watches an object. It may be called under the object's lock, and before
// that is released.
func (w *watchers) changed(ref types.ManagedObjectReference, t reflect.Type, c change) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, collector := range w.collectors {
		collector.changed(ref, t, c)
	}
}

// removed tells whoever watches an object that it is gone.
func (w *watchers) removed(ref types.ManagedObjectReference) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, v := range w.views {
		v.modify(nil, []types.ManagedObjectReference{ref})
	}
	for _, collector := range w.collectors {
		collector.removed(ref)
	}
}

// collector gives a session's collector; nil when it has none of that reference.
func (w *watchers) collector(session string, ref, standard types.ManagedObjectReference) *collector {
	key := owned{session, ref}
	w.mu.RLock()
	c := w.collectors[key]
	w.mu.RUnlock()
	if c != nil || ref != standard {
		return c
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.collectors[key] == nil {
		w.collectors[key] = newCollector()
	}
	return w.collectors[key]
}

func (w *watchers) createCollector(session string) types.ManagedObjectReference {
	key := own(session, "PropertyCollector")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collectors[key] = newCollector()
	return key.ref
}

func (w *watchers) destroyCollector(session string, ref types.ManagedObjectReference) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(owned{session, ref})
}

func (w *watchers) drop(key owned) {
	if c := w.collectors[key]; c != nil {
		delete(w.collectors, key)
		c.cancel()
		for _, f := range c.all() {
			delete(w.filters, owned{key.session, f})
		}
	}
}

func (w *watchers) createFilter(session string, c *collector, f *filter) types.ManagedObjectReference {
	key := own(session, "PropertyFilter")
	f.ref = key.ref
	w.mu.Lock()
	w.filters[key] = c
	w.mu.Unlock()
	c.add(f)
	return key.ref
}

func (w *watchers) destroyFilter(session string, ref types.ManagedObjectReference) bool {
	key := owned{session, ref}
	w.mu.Lock()
	c := w.filters[key]
	delete(w.filters, key)
	w.mu.Unlock()
	if c != nil {
		c.remove(ref)
	}
	return c != nil
}

// forget drops what the sessions left that have ended, except what somebody still waits on: vSphere
// does not tell a waiting client that its session is gone.
func (w *watchers) forget(ended func(session string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := make(map[string]bool)
	for key, c := range w.collectors {
		if ended(key.session) {
			if c.waiting() {
				waiting[key.session] = true
				continue
			}
			w.drop(key)
		}
	}
	for key := range w.views {
		if ended(key.session) && !waiting[key.session] {
			delete(w.views, key)
		}
	}
}

// cancel ends all waits.
func (w *watchers) cancel() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, c := range w.collectors {
		c.cancel()
	}
}

// listView is a list of objects that a client keeps.
type listView struct {
	mu   sync.Mutex
	ref  types.ManagedObjectReference
	list []types.ManagedObjectReference
	has  map[types.ManagedObjectReference]bool
}

func (w *watchers) view(session string, ref types.ManagedObjectReference) *listView {
	if ref.Type != "ListView" {
		return nil
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.views[owned{session, ref}]
}

func (w *watchers) createView(session string, list []types.ManagedObjectReference) types.ManagedObjectReference {
	key := own(session, "ListView")
	v := &listView{ref: key.ref, has: make(map[types.ManagedObjectReference]bool)}
	v.modify(list, nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.views[key] = v
	return key.ref
}

func (w *watchers) destroyView(session string, ref types.ManagedObjectReference) {
	w.mu.Lock()
	delete(w.views, owned{session, ref})
	w.mu.Unlock()
	w.changed(ref, nil, change{})
}

func (v *listView) modify(add, remove []types.ManagedObjectReference) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, ref := range add {
		if !v.has[ref] {
			v.has[ref] = true
			v.list = append(v.list, ref)
		}
	}
	gone := 0
	for _, ref := range remove {
		if v.has[ref] {
			delete(v.has, ref)
			gone++
		}
	}
	if gone > 0 {
		v.list = slices.DeleteFunc(v.list, func(ref types.ManagedObjectReference) bool { return !v.has[ref] })
	}
}

func (v *listView) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = nil
	clear(v.has)
}

func (v *listView) snapshot() *mo.ListView {
	v.mu.Lock()
	defer v.mu.Unlock()
	return &mo.ListView{ManagedObjectView: mo.ManagedObjectView{Self: v.ref, View: slices.Clone(v.list)}}
}
