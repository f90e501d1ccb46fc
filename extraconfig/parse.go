package extraconfig

import (
	"slices"
	"strings"
)

// Owns reports whether a key belongs to the schema: its text, ASCII case ignored, is that of a key template with
// any entry name or index. Whether it was ever written, and what its value is, do not matter.
func (c *Codec[T]) Owns(key string) bool {
	_, _, _, ours := c.match.find(key)
	return ours
}

// Parse gives the keys of ours among what a VM holds, each as it is spelled there and with the field it belongs to.
func (c *Codec[T]) Parse(held map[string]string) KeySet {
	pairs := make([]Pair, 0, len(held))
	for key, value := range held {
		if l, entry, _, ours := c.match.find(key); ours {
			pairs = append(pairs, Pair{Key: key, Value: value, leaf: l, entry: entry})
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	ks := KeySet{pairs}
	ks.nameEntries()
	return ks
}

// nameEntries gives entries the names that their map's index has for them where only case differs: a VM may keep the
// spelling that a key was first written with, and what is reported there is reported for the entry all the same.
func (ks KeySet) nameEntries() {
	indexes := map[*node]map[string]string{} // of each map: folded name -> name
	for i := range ks.pairs {
		p := &ks.pairs[i]
		over := p.leaf.outermost()
		if over == nil {
			continue
		}
		names, ok := indexes[over]
		if !ok {
			names = ks.index(over)
			indexes[over] = names
		}
		first, rest, nested := strings.Cut(p.entry, hole)
		if name, ok := names[fold(first)]; ok && name != first {
			p.entry = name
			if nested {
				p.entry += hole + rest
			}
		}
	}
}

// index gives the names that a map's index holds, by folded name.
func (ks KeySet) index(over *node) map[string]string {
	names := map[string]string{}
	if p, ok := ks.Get(over.leaf.key.constant); ok {
		for written := range strings.SplitSeq(p.Value, "|") {
			name := decodeName(written)
			names[fold(name)] = name
		}
	}
	return names
}

// outermost gives the map that the first name in a leaf's key is of; nil when there is none with an index of its own.
func (l *leaf) outermost() *node {
	for _, h := range l.steps {
		if h.entry != nil {
			if h.entry.mapID > 0 {
				return h.entry
			}
			return nil
		}
	}
	return nil
}
