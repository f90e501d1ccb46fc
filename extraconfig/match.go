package extraconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// matcher finds the leaf that a key belongs to, by the key's text alone.
type matcher struct {
	fixed  map[string]*leaf // keys without names, as we spell them and folded
	groups []group          // keys with a name, by what comes before it
	nested []*leaf          // keys with several names
}

// group is the keys of the entries of one map in one scope.
type group struct {
	prefix string
	rests  map[string]*leaf // what may follow a name, as we spell it and folded
	free   *leaf            // nothing may, because names are free
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
	switch names := l.names(); {
	case names == 0:
		insert(m.fixed, withIndexes(l.key.literals), l)
	case names == 1 && l.key.styles[0] != anIndex:
		i := slices.IndexFunc(m.groups, func(g group) bool { return foldEqual(g.prefix, l.key.literals[0]) })
		if i < 0 {
			i = len(m.groups)
			m.groups = append(m.groups, group{prefix: l.key.literals[0], rests: map[string]*leaf{}})
		}
		if l.free() {
			m.groups[i].free = l
			return
		}
		insert(m.groups[i].rests, withIndexes(l.key.literals[1:]), l)
	default:
		m.nested = append(m.nested, l)
	}
}

func insert(m map[string]*leaf, text string, l *leaf) { m[text], m[fold(text)] = l, l }

// names counts the holes that hold names.
func (l *leaf) names() int {
	n := 0
	for _, s := range l.key.styles {
		if s != anIndex {
			n++
		}
	}
	return n
}

// free reports whether the key ends with a name that can be anything.
func (l *leaf) free() bool {
	if len(l.steps) == 0 || l.part == partElement {
		return false
	}
	over := l.steps[len(l.steps)-1].entry
	return over != nil && over.open
}

// withIndexes joins literals with the sign for any index.
func withIndexes(literals []string) string { return strings.Join(literals, hole) }

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

// find gives the leaf of a key and the names in it. The key is ours if its modifiers are the leaf's, too. What keys have
// in common that stand for one field is field.
func (m *matcher) find(key string) (l *leaf, entry, field string, ours bool) {
	body, suffix := modifiers(key)
	l, entry = m.anyCase(body)
	if suffix != "" && (l == nil || l.free()) { // perhaps a name that only looks as if it ended with modifiers
		if free, name := m.anyCase(key); free != nil && free.free() && free.key.suffix == "" {
			return free, name, key, true
		}
	}
	if l == nil {
		return nil, "", "", false
	}
	return l, entry, body, foldEqual(suffix, l.key.suffix)
}

// anyCase looks for a key as we spell it, and if there is none for one in other case.
func (m *matcher) anyCase(body string) (l *leaf, entry string) {
	if l, entry = m.look(body, body); l == nil {
		if folded := fold(body); folded != body {
			return m.look(body, folded)
		}
	}
	return l, entry
}

// look looks for a key; text is the key as it is or folded.
func (m *matcher) look(body, text string) (*leaf, string) {
	if l := m.fixed[anyIndex(text)]; l != nil {
		return l, ""
	}
	for i := range m.groups {
		if n := len(m.groups[i].prefix); len(body) > n && foldEqual(body[:n], m.groups[i].prefix) {
			if l, entry := m.groups[i].look(body[n:], text[n:]); l != nil {
				return l, entry
			}
		}
	}
	for _, l := range m.nested {
		if entry, ok := matchNested(l, 0, body); ok {
			return l, entry
		}
	}
	return nil, ""
}

// look looks for what follows the prefix. A name ends where a rest that the schema knows begins; the
// shortest name that leaves one is taken.
func (g *group) look(body, text string) (*leaf, string) {
	if g.free != nil {
		entry, ok := entryName(body, g.free.key.styles[0], true)
		if !ok {
			return nil, ""
		}
		return g.free, entry
	}
	for end := 1; end <= len(text) && end <= maxName; end++ {
		if end < len(text) && text[end] != '/' && text[end] != '.' && text[end] != '~' && text[end] != '|' {
			continue
		}
		l := g.rests[anyIndex(text[end:])]
		if l == nil {
			continue
		}
		if name, ok := entryName(body[:end], l.key.styles[0], false); ok {
			return l, name
		}
	}
	return nil, ""
}

// entryName gives the name that stands in a key, if one can stand there in that style.
func entryName(text string, s style, free bool) (string, bool) {
	if s == slashes && strings.Contains(text, ".") || s == dots && strings.Contains(text, "/") {
		return "", false
	}
	if free {
		return decodeName(text), text != ""
	}
	if s == slashes { // names of our entries have no slash: one there was a dot
		text = strings.ReplaceAll(text, "/", ".")
	}
	return text, validName(text)
}

// anyIndex writes the sign for any index in place of every index in a key.
func anyIndex(key string) string {
	at := strings.IndexByte(key, '|')
	switch {
	case at < 0:
		return key
	case strings.Contains(key, hole): // is like no template, and must not look like one
		return ""
	}
	var b []byte
	done := 0
	for at < len(key) {
		if key[at] != '|' {
			at++
			continue
		}
		end := at + 1 + digits(key[at+1:])
		if end > at+1 && (end == len(key) || key[end] == '/' || key[end] == '.') {
			b = append(append(b, key[done:at+1]...), hole...)
			done = end
		}
		at = end
	}
	if b == nil {
		return key
	}
	return string(append(b, key[done:]...))
}

// digits counts the digits that text begins with.
func digits(text string) int {
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	return n
}

// matchNested matches a template with several names from a literal on, trying every end of each name.
func matchNested(l *leaf, at int, text string) (entry string, ok bool) {
	literal := l.key.literals[at]
	if len(text) < len(literal) || !foldEqual(text[:len(literal)], literal) {
		return "", false
	}
	text = text[len(literal):]
	if at == len(l.key.styles) {
		return "", text == ""
	}
	s, last := l.key.styles[at], at == len(l.key.styles)-1
	switch {
	case s == anIndex:
		n := digits(text)
		if n == 0 {
			return "", false
		}
		return matchNested(l, at+1, text[n:])
	case last && l.free():
		return entryName(text, s, true)
	}
	for end := 1; end <= len(text) && end <= maxName; end++ {
		name, ok := entryName(text[:end], s, false)
		if !ok {
			continue
		}
		if rest, ok := matchNested(l, at+1, text[end:]); ok {
			if rest != "" {
				name += hole + rest
			}
			return name, true
		}
	}
	return "", false
}

// near counts the keys that belong to a field, their modifiers ignored.
func (m *matcher) near(keys map[string]string) int {
	n := 0
	for key := range keys {
		if l, _, _, _ := m.find(key); l != nil {
			n++
		}
	}
	return n
}

// spelling is a key as it is spelled where it was found.
type spelling struct {
	key  string
	twin string // another key that stands for the same field: equal but for case, or with other modifiers
}

// spellings indexes the keys that belong to fields by folded text.
func (m *matcher) spellings(keys map[string]string) map[string]spelling {
	index := make(map[string]spelling, len(keys))
	first := make(map[string]string, len(keys)) // by what stands for a field
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		l, _, field, _ := m.find(key)
		if l == nil {
			continue
		}
		folded, field := fold(key), fold(field)
		s := spelling{key: key}
		if other, ok := first[field]; ok {
			s.twin = other
			index[fold(other)] = spelling{key: other, twin: key}
		} else {
			first[field] = key
		}
		index[folded] = s
	}
	return index
}
