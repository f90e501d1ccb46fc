package extraconfig

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// encoder runs a program. It is used for one call at a time; its memory is kept between calls.
type encoder struct {
	secretKey []byte
	only      []string // names of the entries that the outermost loops are confined to
	buf       []byte   // all text that is not a string elsewhere
	pairs     []Pair   // what was written; text in the buffer is not in them yet
	spans     []span   // of each pair
	names     []name   // of the loops that are running
	path      string   // the names of the map entries among them
	entries   [][]entry
	respelled bool // entries are there whose keys might be equal but for case
	err       *Error
}

// span is where the text of a pair lies in the buffer; an end of 0 says that it does not.
type span struct{ keyAt, keyEnd, valueAt, valueEnd int }

// entry is an entry of a map on its way into keys.
type entry struct {
	name  name   // as it stands in keys
	field string // as it stands in paths
	value reflect.Value
}

// Encode gives v's key set. An *Error names what cannot be encoded: an entry whose name cannot be
// part of a key, two fields that meet in one key, a secret without a key to seal it, a value that would not be
// read back as it is.
func (c *Codec[T]) Encode(v *T, opts ...Option) (KeySet, error) {
	return c.encode(c.program, nil, v, opts)
}

// EncodePart gives the pairs of one part of v, at the keys that they have in the whole. The path is that of a field, a
// step each: a name in documents, or the name of a map's entry, as in "sessions", "web". A part that v does not have gives
// no pairs; a path that T does not have is an *Error. Errors are Encode's own, as far as the part goes.
func (c *Codec[T]) EncodePart(v *T, path []string, opts ...Option) (KeySet, error) {
	pattern, names := "", []string(nil)
	for _, step := range path {
		if below := dotted(pattern, "*"); c.parts[below] != nil {
			pattern, names = below, append(names, step)
			continue
		}
		pattern = dotted(pattern, step)
		if c.parts[pattern] == nil {
			return KeySet{}, &Error{Field: strings.Join(path, "."), Reason: "is no field that has keys"}
		}
	}
	if pattern == "" {
		return c.Encode(v, opts...)
	}
	return c.encode(c.parts[pattern], names, v, opts)
}

func (c *Codec[T]) encode(program []step, only []string, v *T, opts []Option) (KeySet, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return KeySet{}, err
	}
	e := c.scratch.Get().(*encoder)
	defer c.scratch.Put(e)
	defer e.forget()
	e.secretKey, e.only = o.secretKey, only
	e.run(program, reflect.ValueOf(v).Elem())
	return e.finish()
}

// forget drops what the call referred to, but keeps the memory.
func (e *encoder) forget() {
	clear(e.pairs)
	for i := range e.entries {
		clear(e.entries[i])
		e.entries[i] = e.entries[i][:0]
	}
	*e = encoder{buf: e.buf[:0], pairs: e.pairs[:0], spans: e.spans[:0], names: e.names[:0], entries: e.entries}
}

// finish turns what was written into a key set.
func (e *encoder) finish() (KeySet, error) {
	if e.err != nil {
		return KeySet{}, e.err
	}
	text := string(e.buf)
	pairs := slices.Clone(e.pairs)
	sorted := true
	for i := range pairs {
		p, s := &pairs[i], &e.spans[i]
		if s.keyEnd > 0 {
			p.Key = text[s.keyAt:s.keyEnd]
		}
		if s.valueEnd > 0 {
			p.Value = text[s.valueAt:s.valueEnd]
		}
		sorted = sorted && (i == 0 || pairs[i-1].Key < p.Key)
	}
	if !sorted {
		slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	}
	if e.respelled || !sorted {
		if err := distinct(pairs); err != nil {
			return KeySet{}, err
		}
	}
	return KeySet{pairs}, nil
}

// distinct makes sure that no two pairs have one key, ASCII case ignored.
func distinct(pairs []Pair) error {
	seen := make(map[string]*Pair, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		key := fold(p.Key)
		if other := seen[key]; other != nil {
			return &Error{Field: p.Field(), Key: p.Key, Reason: "would have the same key as " + other.Field()}
		}
		seen[key] = p
	}
	return nil
}

func (e *encoder) run(program []step, frame reflect.Value) {
	for i := range program {
		s := &program[i]
		v, ok := follow(frame, s.path)
		switch {
		case !ok:
		case s.leaf != nil:
			e.write(s.leaf, v)
		case s.over.kind == kindMap:
			e.runMap(s, v)
		default:
			e.runList(s, v)
		}
		if e.err != nil {
			return
		}
	}
}

// follow goes to a field; false when a pointer on the way is nil.
func follow(v reflect.Value, path []int) (reflect.Value, bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	for _, i := range path {
		v = v.Field(i)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
	}
	return v, true
}

func (e *encoder) runList(s *step, v reflect.Value) {
	plain := s.over.elem.kind != kindStruct
	e.names = append(e.names, name{})
	for i := range v.Len() {
		e.names[len(e.names)-1][asIs] = strconv.Itoa(i)
		before := len(e.pairs)
		e.run(s.body, v.Index(i))
		if plain && len(e.pairs) == before {
			e.fail(s.over.place.path, "", "has an element that is empty, which has no encoding")
		}
	}
	e.names = e.names[:len(e.names)-1]
}

func (e *encoder) runMap(s *step, v reflect.Value) {
	path := e.path
	for _, x := range e.sorted(s.over, v) {
		e.path = x.field
		if path != "" {
			e.path = path + hole + x.field
		}
		e.names = append(e.names, x.name)
		e.run(s.body, x.value)
		e.names = e.names[:len(e.names)-1]
	}
	e.path = path
}

// sorted gives a map's entries in the order of their keys.
func (e *encoder) sorted(n *node, v reflect.Value) []entry {
	if level := len(e.names); level < len(e.only) {
		return e.one(n, v, e.only[level])
	}
	var list []entry
	if n.mapID > 0 {
		if list = e.entries[n.mapID-1]; len(list) > 0 {
			return list
		}
	}
	if v.Len() == 0 {
		return nil
	}
	list = e.collect(n, v, list)
	slices.SortFunc(list, func(a, b entry) int { return compareNames(a.name[asIs], b.name[asIs]) })
	e.respelled = e.respelled || mayMeet(list)
	if n.mapID > 0 {
		e.entries[n.mapID-1] = list
	}
	return list
}

// one gives the one entry that the loop is confined to, if it is there.
func (e *encoder) one(n *node, v reflect.Value, entryName string) []entry {
	value := v.MapIndex(reflect.ValueOf(entryName).Convert(v.Type().Key()))
	if !value.IsValid() || !e.named(n, entryName) {
		return nil
	}
	own := reflect.New(value.Type()).Elem() // what is in a map cannot be addressed, a copy can
	own.Set(value)
	return []entry{newEntry(entryName, own)}
}

// compareNames orders names as the keys that go on after them: a separator follows the shorter one.
func compareNames(a, b string) int {
	n := min(len(a), len(b))
	if c := strings.Compare(a[:n], b[:n]); c != 0 {
		return c
	}
	switch {
	case len(a) > n:
		return int(a[n]) - '.'
	case len(b) > n:
		return '.' - int(b[n])
	}
	return 0
}

// mayMeet reports whether keys of two entries could be equal but for case: names that are, or of which one goes on
// with a separator. Where case has no part in it, the keys themselves tell.
func mayMeet(list []entry) bool {
	upper := false
	for i := range list {
		upper = upper || fold(list[i].field) != list[i].field
	}
	if !upper || len(list) < 2 {
		return false
	}
	seen := make(map[string]bool, len(list))
	for i := range list {
		seen[fold(list[i].name[asIs])] = true
	}
	if len(seen) < len(list) {
		return true
	}
	for name := range seen {
		for at := range len(name) {
			if (name[at] == '.' || name[at] == '/') && seen[name[:at]] {
				return true
			}
		}
	}
	return false
}

func (e *encoder) collect(n *node, v reflect.Value, list []entry) []entry {
	own := reflect.MakeSlice(n.elems, v.Len(), v.Len())
	key := reflect.New(v.Type().Key()).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		if !e.named(n, key.String()) {
			return nil
		}
		value := own.Index(len(list))
		value.SetIterValue(it)
		list = append(list, newEntry(key.String(), value))
	}
	return list
}

func newEntry(field string, value reflect.Value) entry {
	return entry{name: nameOf(encodeName(field)), field: field, value: value}
}

// named checks the name of an entry.
func (e *encoder) named(n *node, field string) bool {
	if n.open && field == "" || !n.open && !validName(field) {
		e.fail(n.place.path, "", "has an entry whose name cannot be part of a key")
		return false
	}
	return true
}

func (e *encoder) fail(path, key, reason string) {
	if e.err == nil {
		e.err = &Error{Field: fill(path, e.path), Key: key, Reason: reason}
	}
}
