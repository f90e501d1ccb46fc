package extraconfig

import (
	"slices"
	"strings"
)

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
	var d Delta
	have, want := observed.pairs, desired.pairs
	for len(have) > 0 && len(want) > 0 {
		switch h, w := &have[0], &want[0]; {
		case h.Key == w.Key:
			if h.Value != w.Value {
				d.Set = append(d.Set, *w)
			}
			have, want = have[1:], want[1:]
		case h.Key < w.Key:
			d.Delete = append(d.Delete, h.Key)
			have = have[1:]
		default:
			d.Set = append(d.Set, *w)
			want = want[1:]
		}
	}
	d.Set = append(d.Set, want...)
	for _, h := range have {
		d.Delete = append(d.Delete, h.Key)
	}
	if len(d.Delete) > 0 {
		d.respell(observed, desired)
	}
	return d
}

// respell looks at the keys that no exact match was found for once more, without regard to case.
func (d *Delta) respell(observed, desired KeySet) {
	wanted := make(map[string]bool, len(desired.pairs))
	for _, p := range desired.pairs {
		wanted[fold(p.Key)] = true
	}
	spelled := map[string]string{} // folded key -> what it holds under another spelling
	d.Delete = slices.DeleteFunc(d.Delete, func(key string) bool {
		folded := fold(key)
		if !wanted[folded] {
			return false
		}
		if p, ok := observed.exact(key); ok {
			spelled[folded] = p.Value
		}
		return true
	})
	if len(spelled) == 0 {
		return
	}
	d.Set = slices.DeleteFunc(d.Set, func(p Pair) bool {
		if _, exact := observed.exact(p.Key); exact {
			return false
		}
		value, ok := spelled[fold(p.Key)]
		return ok && value == p.Value
	})
}

func (ks KeySet) exact(key string) (Pair, bool) {
	i, ok := slices.BinarySearchFunc(ks.pairs, key, func(p Pair, key string) int { return strings.Compare(p.Key, key) })
	if !ok {
		return Pair{}, false
	}
	return ks.pairs[i], true
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
	pairs := make([]Pair, 0, len(observed.pairs)+len(d.Set))
	for _, p := range observed.pairs {
		if !gone[fold(p.Key)] {
			pairs = append(pairs, p)
		}
	}
	pairs = append(pairs, d.Set...)
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	return KeySet{pairs}
}
