package simulator

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// refresh makes the selection of filters anew where what they traverse has changed.
func (c *collector) refresh(r reader) types.BaseMethodFault {
	for {
		f := c.stale()
		if f == nil {
			return nil
		}
		selected, fault := r.selects(&f.spec)
		if fault != nil {
			return fault
		}
		c.mu.Lock()
		f.via = selected.via
		for ref := range f.known {
			if !selected.has[ref] {
				f.leave(ref)
			}
		}
		for _, ref := range selected.order {
			if _, known := f.known[ref]; !known {
				f.known[ref] = false
				*f.soil(ref) = dirt{}
			}
		}
		c.mu.Unlock()
	}
}

// stale takes one filter whose selection has to be made anew. What changes from here on makes it so again.
func (c *collector) stale() *filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.filters {
		if f.stale {
			f.stale = false
			for _, o := range f.spec.ObjectSet {
				f.via[o.Obj] = true
			}
			return f
		}
	}
	return nil
}

// taken is an object of which the client is told now.
type taken struct {
	filter *filter
	ref    types.ManagedObjectReference
	dirt   dirt
	enters bool
}

// take makes an answer of up to max objects, or none when there is nothing to say. The first answer
// of a collector may be empty.
func (c *collector) take(r reader, most int, first bool) *types.UpdateSet {
	for {
		c.mu.Lock()
		batch, more := c.pick(most)
		c.mu.Unlock()
		if len(batch) == 0 && !first {
			return nil
		}
		set := &types.UpdateSet{}
		for _, t := range batch {
			update, ok := r.update(c, t)
			if !ok {
				continue
			}
			if n := len(set.FilterSet); n == 0 || set.FilterSet[n-1].Filter != t.filter.ref {
				set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: t.filter.ref})
			}
			of := &set.FilterSet[len(set.FilterSet)-1]
			of.ObjectSet = append(of.ObjectSet, update)
		}
		if len(set.FilterSet) == 0 && (more || !first) {
			continue
		}
		if more {
			set.Truncated = new(true)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.version++
		set.Version = strconv.Itoa(c.version)
		c.last, c.answered = set, time.Now()
		return set
	}
}

// pick takes what is dirty for longest. c.mu is held.
func (c *collector) pick(most int) (batch []taken, more bool) {
	for _, f := range c.filters {
		for len(f.queue) > 0 {
			if len(batch) == most {
				return batch, true
			}
			ref := f.queue[0]
			f.queue = f.queue[1:]
			t := taken{filter: f, ref: ref, dirt: *f.dirty[ref]}
			delete(f.dirty, ref)
			if told, selected := f.known[ref]; selected && !told {
				f.known[ref], t.enters = true, true
			}
			batch = append(batch, t)
		}
	}
	return batch, false
}

// join adds what became dirty of an object since it was picked. The object is locked, so that what is read of it then is one state
// of it, and nothing of that is told later.
func (c *collector) join(t *taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := t.filter.dirty[t.ref]
	if since == nil || since.left {
		return
	}
	delete(t.filter.dirty, t.ref)
	t.filter.queue = slices.DeleteFunc(t.filter.queue, func(ref types.ManagedObjectReference) bool { return ref == t.ref })
	t.dirt.add(since)
}

// add joins what was noted later to what was noted before.
func (d *dirt) add(later *dirt) {
	for at := range later.paths {
		if d.paths == nil {
			d.paths = make(map[string]bool)
		}
		d.paths[at] = true
	}
	for key, existed := range later.keys {
		if d.keys == nil {
			d.keys = make(map[string]bool)
		}
		if _, noted := d.keys[key]; !noted {
			d.keys[key] = existed
		}
	}
}

// update reads what the client is told of an object.
func (r reader) update(c *collector, t taken) (u types.ObjectUpdate, ok bool) {
	u.Obj = t.ref
	switch {
	case t.enters:
		u.Kind = types.ObjectUpdateKindEnter
		content, ok := r.content(t.ref, t.filter.spec.PropSet)
		for _, p := range content.PropSet {
			u.ChangeSet = append(u.ChangeSet, types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign, Val: p.Val})
		}
		u.MissingSet = content.MissingSet
		return u, ok
	case t.dirt.left:
		u.Kind = types.ObjectUpdateKindLeave
		return u, true
	}
	u.Kind = types.ObjectUpdateKindModify
	r.with(t.ref, func(v reflect.Value) {
		c.join(&t)
		for _, at := range slices.Sorted(maps.Keys(t.dirt.paths)) {
			if val, known := read(v, at); known {
				u.ChangeSet = append(u.ChangeSet, types.PropertyChange{Name: at, Op: types.PropertyChangeOpAssign, Val: val})
			}
		}
		if len(t.dirt.keys) > 0 && !t.dirt.paths[extraConfig] {
			u.ChangeSet = append(u.ChangeSet, keyChanges(v, t.dirt.keys)...)
		}
	})
	return u, len(u.ChangeSet) > 0
}

// keyChanges says which keys of a VM's extraConfig changed, each as a property of its own. Where a
// key cannot stand in a path, the whole list is given.
func keyChanges(v reflect.Value, keys map[string]bool) (changes []types.PropertyChange) {
	whole, _ := read(v, extraConfig)
	list, _ := whole.(*types.ArrayOfOptionValue)
	now := make(map[string]*types.OptionValue, len(keys))
	if list != nil {
		for _, o := range list.OptionValue {
			now[o.GetOptionValue().Key] = o.GetOptionValue()
		}
	}
	for key, existed := range keys {
		if strings.ContainsAny(key, `"]\`) {
			return []types.PropertyChange{{Name: extraConfig, Op: types.PropertyChangeOpAssign, Val: whole}}
		}
		c := types.PropertyChange{Name: extraConfig + `["` + key + `"]`}
		o := now[key]
		switch {
		case o != nil && existed:
			c.Op, c.Val = types.PropertyChangeOpAssign, *o
		case o != nil:
			c.Op, c.Val = types.PropertyChangeOpAdd, *o
		case existed:
			c.Op = types.PropertyChangeOpRemove
		default:
			continue // it came and went
		}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b types.PropertyChange) int { return cmp.Compare(a.Name, b.Name) })
	return changes
}
