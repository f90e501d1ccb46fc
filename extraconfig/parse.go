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

// Canonical reports whether a key is ours and spelled as Encode spells it, whether or not there is such an entry.
func (c *Codec[T]) Canonical(key string) bool {
	l, entry, _, ours := c.match.find(key)
	return ours && l.key.spells(key, strings.Split(entry, hole))
}

// Parse gives the keys of ours among what a VM holds, each as it is spelled there and with the field it belongs to.
func (c *Codec[T]) Parse(held map[string]string) KeySet {
	size := 0
	for key, value := range held {
		size += len(key) + len(value)
	}
	b := builder{text: make([]byte, 0, size), set: KeySet{refs: make([]ref, 0, len(held))}}
	for key, value := range held {
		if l, entry, _, ours := c.match.find(key); ours {
			b.add(Pair{Key: key, Value: value, leaf: l, entry: entry})
		}
	}
	ks := b.keySet()
	b.nameEntries(ks)
	return ks
}

// builder makes a key set of pairs in any order.
type builder struct {
	text    []byte
	set     KeySet
	entries map[entryOf]uint32 // which of the set's names an entry has
}

// entryOf is an entry of a map; the map is nil for pairs that are in none.
type entryOf struct {
	over *node
	name string
}

func (b *builder) add(p Pair) {
	b.set.leaves = p.leaf.all
	r := ref{leaf: p.leaf.id, entry: b.entry(p), key: offset(len(b.text))}
	if p.Key != p.leaf.key.constant {
		b.text = append(b.text, p.Key...)
	}
	r.value = offset(len(b.text))
	b.text = append(b.text, p.Value...)
	r.end = offset(len(b.text))
	b.set.refs = append(b.set.refs, r)
}

func (b *builder) entry(p Pair) uint32 {
	key := entryOf{p.leaf.over, p.entry}
	at, ok := b.entries[key]
	if !ok {
		if b.entries == nil {
			b.entries = map[entryOf]uint32{}
		}
		at = offset(len(b.set.names))
		b.entries[key] = at
		b.set.names = append(b.set.names, p.entry)
	}
	return at
}

func (b *builder) keySet() KeySet {
	b.set.text = string(b.text)
	b.set.sort()
	return b.set
}

// sort orders the pairs by key.
func (ks KeySet) sort() {
	slices.SortFunc(ks.refs, func(x, y ref) int { return strings.Compare(ks.keyOf(&x), ks.keyOf(&y)) })
}

// nameEntries gives entries the names that their map's index has for them where only case differs: a VM may keep the
// spelling that a key was first written with, and what is reported there is reported for the entry all the same.
func (b *builder) nameEntries(ks KeySet) {
	indexes := map[*node]map[string]string{} // of each map: folded name -> name
	for entry, at := range b.entries {
		if entry.over == nil {
			continue
		}
		names, ok := indexes[entry.over]
		if !ok {
			names = ks.index(entry.over)
			indexes[entry.over] = names
		}
		first, rest, nested := strings.Cut(entry.name, hole)
		if name, ok := names[fold(first)]; ok && name != first {
			if nested {
				name += hole + rest
			}
			ks.names[at] = name
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
