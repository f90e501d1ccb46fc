package extraconfig

import (
	"fmt"
	"slices"
	"strings"
)

// matcher finds the leaf that a key belongs to, by the key's text alone.
type matcher struct {
	fixed  map[string]*leaf // keys without names, folded
	groups []group          // keys with a name, by what comes before it
	nested []*leaf          // keys with several names
}

// group is the keys of the entries of one map in one scope.
type group struct {
	prefix string           // folded
	rests  map[string]*leaf // what may follow a name, folded
	open   bool             // names are free
}

// newMatcher sorts the templates. Two fields with one key are an error.
func newMatcher(leaves []*leaf) (*matcher, error) {
	m := &matcher{fixed: map[string]*leaf{}}
	seen := map[string]*leaf{}
	for _, l := range leaves {
		key := fold(strings.Join(l.key.literals, "*"))
		if other := seen[key]; other != nil {
			return nil, fmt.Errorf("fields %s and %s have one key %s", other.path, l.path, l.key.text())
		}
		seen[key] = l
		m.add(l)
	}
	return m, nil
}

func (m *matcher) add(l *leaf) {
	names := 0
	for _, s := range l.key.styles {
		if s != anIndex {
			names++
		}
	}
	switch {
	case names == 0:
		m.fixed[fold(withIndexes(l.key.literals))] = l
	case names == 1 && l.key.styles[0] != anIndex:
		prefix := fold(l.key.literals[0])
		i := slices.IndexFunc(m.groups, func(g group) bool { return g.prefix == prefix })
		if i < 0 {
			i = len(m.groups)
			m.groups = append(m.groups, group{prefix: prefix, rests: map[string]*leaf{}})
		}
		rest := fold(withIndexes(l.key.literals[1:]))
		m.groups[i].rests[rest] = l
		m.groups[i].open = m.groups[i].open || rest == ""
	default:
		m.nested = append(m.nested, l)
	}
}

// withIndexes joins literals with the sign for any index.
func withIndexes(literals []string) string { return strings.Join(literals, "#") }

// modifiers splits the modifiers off a key.
func modifiers(key string) (body, suffix string) {
	body = key
	for _, word := range []string{"@non-persistent", "@secret"} {
		if n := len(body) - len(word); n >= 0 && foldEqual(body[n:], word) {
			body = body[:n]
		}
	}
	return body, key[len(body):]
}

// find gives the leaf of a key and the names in it. The key is ours if its modifiers are the leaf's, too.
func (m *matcher) find(key string) (l *leaf, entry string, ours bool) {
	body, suffix := modifiers(key)
	folded := fold(body)
	if l = m.fixed[anyIndex(folded)]; l == nil {
		if l, entry = m.named(body, folded); l == nil {
			return nil, "", false
		}
	}
	return l, entry, foldEqual(suffix, l.key.suffix)
}

// named looks among the keys that hold names. A name ends where a rest that the schema knows begins; the
// shortest name that leaves one is taken.
func (m *matcher) named(body, folded string) (*leaf, string) {
	for i := range m.groups {
		g := &m.groups[i]
		rest, ok := strings.CutPrefix(folded, g.prefix)
		if !ok {
			continue
		}
		raw := body[len(g.prefix):]
		for end := 1; end <= len(rest); end++ {
			if end < len(rest) && rest[end] != '/' && rest[end] != '.' {
				continue
			}
			l := g.rests[anyIndex(rest[end:])]
			if l == nil {
				continue
			}
			if name, ok := entryName(raw[:end], g.open); ok {
				return l, name
			}
		}
	}
	for _, l := range m.nested {
		if entry, ok := matchNested(l.key.literals, l.key.styles, body); ok {
			return l, entry
		}
	}
	return nil, ""
}

// entryName gives the name that stands in a key. Names of our entries have no slash: one there was a dot.
func entryName(text string, open bool) (string, bool) {
	if open {
		return decodeName(text), true
	}
	name := strings.ReplaceAll(text, "/", ".")
	return name, validName(name)
}

// anyIndex writes # for every index in a folded key.
func anyIndex(key string) string {
	at := strings.IndexByte(key, '|')
	if at < 0 {
		return key
	}
	var b []byte
	done := 0
	for at < len(key) {
		if key[at] != '|' {
			at++
			continue
		}
		end := at + 1
		for end < len(key) && '0' <= key[end] && key[end] <= '9' {
			end++
		}
		if end > at+1 && (end == len(key) || key[end] == '/' || key[end] == '.') {
			b = append(append(b, key[done:at+1]...), '#')
			done = end
		}
		at = end
	}
	if b == nil {
		return key
	}
	return string(append(b, key[done:]...))
}

// matchNested matches a template with several names by trying every end of each.
func matchNested(literals []string, styles []style, text string) (string, bool) {
	n := len(literals[0])
	if len(text) < n || !foldEqual(text[:n], literals[0]) {
		return "", false
	}
	text = text[n:]
	if len(styles) == 0 {
		return "", text == ""
	}
	for end := 1; end <= len(text); end++ {
		rest, ok := matchNested(literals[1:], styles[1:], text[end:])
		if !ok {
			continue
		}
		if styles[0] == anIndex {
			if strings.Trim(text[:end], "0123456789") == "" {
				return rest, true
			}
			continue
		}
		name, ok := entryName(text[:end], len(styles) == 1 && literals[1] == "")
		if !ok {
			continue
		}
		if rest != "" {
			name += hole + rest
		}
		return name, true
	}
	return "", false
}

// Owns reports whether a key belongs to the schema: its text, ASCII case ignored, is that of a key template with
// any entry name or index. Whether it was ever written, and what its value is, do not matter.
func (c *Codec[T]) Owns(key string) bool {
	_, _, ours := c.match.find(key)
	return ours
}

// Parse gives the keys of ours among what a VM holds, each as it is spelled there and with the field it belongs to.
func (c *Codec[T]) Parse(held map[string]string) KeySet {
	pairs := make([]Pair, 0, len(held))
	for key, value := range held {
		if l, entry, ours := c.match.find(key); ours {
			pairs = append(pairs, Pair{Key: key, Value: value, leaf: l, entry: entry})
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	return KeySet{pairs}
}

// near counts the keys that belong to a field, their modifiers ignored.
func (m *matcher) near(keys map[string]string) int {
	n := 0
	for key := range keys {
		if l, _, _ := m.find(key); l != nil {
			n++
		}
	}
	return n
}

// spellings indexes keys by folded text, and tells which of them stand for one field: equal but for case, or
// with other modifiers.
func (m *matcher) spellings(keys map[string]string) (byText, twice map[string]string) {
	byText = make(map[string]string, len(keys))
	twice = map[string]string{}
	bodies := make(map[string]string, len(keys))
	for key := range keys {
		if l, _, _ := m.find(key); l == nil {
			continue
		}
		folded := fold(key)
		body, _ := modifiers(folded)
		if other, ok := bodies[body]; ok {
			twice[key], twice[other] = other, key
		}
		bodies[body] = key
		byText[folded] = key
	}
	return byText, twice
}
