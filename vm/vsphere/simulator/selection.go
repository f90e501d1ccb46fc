package simulator

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// reader reads objects for one call. It locks one object at a time, for no longer than it takes to
// copy what is asked for.
type reader struct {
	sim *Simulator
	ctx *simulator.Context
}

// exists reports whether there is such an object, as this session sees it.
func (r reader) exists(ref types.ManagedObjectReference) bool {
	return r.sim.watchers.view(r.session(), ref) != nil || r.ctx.Session.Get(ref) != nil
}

func (r reader) session() string { return r.ctx.Session.Key }

// with gives f an object under its lock, and reports whether there is one.
func (r reader) with(ref types.ManagedObjectReference, f func(v reflect.Value)) bool {
	if v := r.sim.watchers.view(r.session(), ref); v != nil {
		f(reflect.ValueOf(v.snapshot()).Elem()) // a copy, which needs no lock
		return true
	}
	object := r.ctx.Session.Get(ref)
	if object == nil {
		return false
	}
	found := false
	r.ctx.WithLock(object, func() {
		if v := managed(object); v.IsValid() {
			found = true
			f(v)
		}
	})
	return found
}

// selection is what a filter's specification selects.
type selection struct {
	order []types.ManagedObjectReference
	has   map[types.ManagedObjectReference]bool
	via   map[types.ManagedObjectReference]bool // what was traversed: when it changes, the selection does
}

func (s *selection) add(ref types.ManagedObjectReference) {
	if !s.has[ref] {
		s.has[ref] = true
		s.order = append(s.order, ref)
	}
}

// step is a traversal from an object.
type step struct {
	from types.ManagedObjectReference
	spec *types.TraversalSpec
}

type selector struct {
	reader
	selection
	named map[string]*types.TraversalSpec
	done  map[step]bool
}

// selects gives the objects of a specification. An object that it starts from and that does not
// exist is a fault, unless the specification says otherwise.
func (r reader) selects(spec *types.PropertyFilterSpec) (selection, types.BaseMethodFault) {
	s := selector{
		reader:    r,
		selection: selection{has: make(map[types.ManagedObjectReference]bool), via: make(map[types.ManagedObjectReference]bool)},
		named:     make(map[string]*types.TraversalSpec),
		done:      make(map[step]bool),
	}
	for _, start := range spec.ObjectSet {
		if !r.exists(start.Obj) {
			if isTrue(spec.ReportMissingObjectsInResults) {
				continue
			}
			return s.selection, &types.ManagedObjectNotFound{Obj: start.Obj}
		}
		if len(start.SelectSet) == 0 || !isTrue(start.Skip) {
			s.add(start.Obj)
		}
		s.learn(start.SelectSet)
		if !s.traverse(start.Obj, start.SelectSet) {
			return s.selection, &types.InvalidArgument{InvalidProperty: "selectSet"}
		}
	}
	return s.selection, nil
}

// learn notes the traversals that have a name, which others refer to.
func (s *selector) learn(set []types.BaseSelectionSpec) {
	for _, b := range set {
		t, ok := b.(*types.TraversalSpec)
		if !ok {
			continue
		}
		if t.Name != "" {
			if s.named[t.Name] != nil {
				continue
			}
			s.named[t.Name] = t
		}
		s.learn(t.SelectSet)
	}
}

// traverse is false when a traversal is named that does not exist.
func (s *selector) traverse(from types.ManagedObjectReference, set []types.BaseSelectionSpec) bool {
	for _, b := range set {
		t, ok := b.(*types.TraversalSpec)
		if !ok {
			if t = s.named[b.GetSelectionSpec().Name]; t == nil {
				return false
			}
		}
		if s.done[step{from, t}] {
			continue
		}
		s.done[step{from, t}] = true
		s.via[from] = true
		var to []types.ManagedObjectReference
		s.with(from, func(v reflect.Value) {
			if !isKind(v.Type(), from, t.Type) {
				return
			}
			at, _ := read(v, t.Path)
			switch refs := at.(type) {
			case types.ManagedObjectReference:
				to = append(to, refs)
			case *types.ArrayOfManagedObjectReference:
				to = refs.ManagedObjectReference
			}
		})
		for _, ref := range to {
			if !isTrue(t.Skip) {
				s.add(ref)
			}
			if !s.traverse(ref, t.SelectSet) {
				return false
			}
		}
	}
	return true
}

// content reads the properties of an object that a specification asks for. It is false when the
// object is gone, or when the specification asks nothing of its kind.
func (r reader) content(ref types.ManagedObjectReference, set []types.PropertySpec) (c types.ObjectContent, ok bool) {
	c.Obj = ref
	r.with(ref, func(v reflect.Value) {
		seen := make(map[string]bool)
		for _, spec := range set {
			if !isKind(v.Type(), ref, spec.Type) {
				continue
			}
			ok = true
			if isTrue(spec.All) {
				c.PropSet = append(c.PropSet, readAll(v)...)
				continue
			}
			for _, at := range spec.PathSet {
				if seen[at] {
					continue
				}
				seen[at] = true
				switch val, known := read(v, at); {
				case !known:
					c.MissingSet = append(c.MissingSet, types.MissingProperty{Path: at, Fault: types.LocalizedMethodFault{Fault: &types.InvalidProperty{Name: at}}})
				case val != nil:
					c.PropSet = append(c.PropSet, types.DynamicProperty{Name: at, Val: val})
				}
			}
		}
	})
	return c, ok
}

func isTrue(b *bool) bool { return b != nil && *b }
