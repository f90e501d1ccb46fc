package extraconfig

import "slices"

// Delta is what makes one key set another.
type Delta struct {
	Set    []Pair   // by key
	Delete []string // in order, spelled as they were observed
}

// Empty reports whether there is nothing to do.
func (d Delta) Empty() bool { return len(d.Set) == 0 && len(d.Delete) == 0 }

// Diff gives what makes observed equal desired. Keys that differ in ASCII case only are one key, as
// they are in a VMX: such a key is never both set and deleted.
func Diff(observed, desired KeySet) Delta {
	m := merger{observed: observed, desired: desired}
	var first merger // stands before the first difference
	sets, deletes := 0, 0
	for {
		kind := m.next()
		if kind == alike {
			break
		}
		if sets+deletes == 0 {
			first = m
			first.h, first.w = m.fromH, m.fromW
		}
		if kind == toSet {
			sets++
		} else {
			deletes++
		}
	}
	if sets+deletes == 0 {
		return Delta{}
	}
	return first.delta(sets, deletes)
}

// difference is what two key sets differ in.
type difference uint8

const (
	alike    difference = iota
	toSet               // a pair of desired
	toDelete            // a key of observed
)

// merger walks through two key sets side by side.
type merger struct {
	observed, desired KeySet
	h, w              int // where it stands in either
	fromH, fromW      int // where the last difference is
}

// next finds the next difference.
func (m *merger) next() difference {
	have, want := m.observed.refs, m.desired.refs
	for m.h < len(have) && m.w < len(want) {
		a, b := &have[m.h], &want[m.w]
		x, y := m.observed.keyOf(a), m.desired.keyOf(b)
		if x == y {
			if m.observed.text[a.value:a.end] != m.desired.text[b.value:b.end] {
				return m.found(toSet, 1, 1)
			}
			m.h++
			m.w++
			continue
		}
		if x < y {
			return m.found(toDelete, 1, 0)
		}
		return m.found(toSet, 0, 1)
	}
	switch {
	case m.h < len(have):
		return m.found(toDelete, 1, 0)
	case m.w < len(want):
		return m.found(toSet, 0, 1)
	}
	return alike
}

func (m *merger) found(kind difference, h, w int) difference {
	m.fromH, m.fromW = m.h, m.w
	m.h += h
	m.w += w
	return kind
}

// delta collects the differences, of which there are as many as were counted.
func (m *merger) delta(sets, deletes int) Delta {
	var d Delta
	if sets > 0 {
		d.Set = make([]Pair, 0, sets)
	}
	if deletes > 0 {
		d.Delete = make([]string, 0, deletes)
	}
	wanted := spellings{set: m.desired, many: deletes > few}
	var kept []string // keys of desired that are there in another spelling, with the same value
	for range sets + deletes {
		if m.next() == toSet {
			d.Set = append(d.Set, m.desired.at(m.fromW))
			continue
		}
		key := m.observed.key(m.fromH)
		other, ok := wanted.find(key)
		switch {
		case !ok:
			d.Delete = append(d.Delete, key)
		case m.desired.at(other).Value == m.observed.at(m.fromH).Value:
			kept = append(kept, m.desired.key(other))
		}
	}
	for _, key := range kept {
		if _, exact := m.observed.search(key); !exact {
			d.Set = slices.DeleteFunc(d.Set, func(p Pair) bool { return p.Key == key })
		}
	}
	return d
}

// few keys are looked up one by one; for more it pays to make an index.
const few = 16

// spellings looks up keys in a set, ASCII case ignored.
type spellings struct {
	set   KeySet
	many  bool
	index map[string]int
}

func (s *spellings) find(key string) (int, bool) {
	if !s.many {
		for i := range s.set.refs {
			if foldEqual(s.set.key(i), key) {
				return i, true
			}
		}
		return 0, false
	}
	if s.index == nil {
		s.index = make(map[string]int, len(s.set.refs))
		for i := range s.set.refs {
			s.index[fold(s.set.key(i))] = i
		}
	}
	i, ok := s.index[fold(key)]
	return i, ok
}

// Apply gives what a VM that held observed holds after the change.
func (d Delta) Apply(observed KeySet) KeySet {
	gone := make(map[string]bool, len(d.Set)+len(d.Delete))
	for _, key := range d.Delete {
		gone[fold(key)] = true
	}
	for _, p := range d.Set {
		gone[fold(p.Key)] = true
	}
	var b builder
	for p := range observed.All() {
		if !gone[fold(p.Key)] {
			b.add(p)
		}
	}
	for _, p := range d.Set {
		b.add(p)
	}
	return b.keySet()
}
