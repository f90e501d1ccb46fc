package extraconfig

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// encoder runs a program. It is used for one call at a time; its memory is kept between calls.
type encoder struct {
	secretKey []byte
	only      []string // names of the entries that the outermost loops are confined to
	text      []byte   // of all keys and values
	refs      []ref    // what was written; the last one may have no end yet
	head      []byte   // what the keys in the loops that are running begin with
	depth     int      // how many loops these are
	paths     []string // the names of the map entries that were met, on the way to each
	path      uint32   // the present one of these
	entries   [][]entry
	turned    bool // a loop went on since the last pair was begun: the next key need not be the larger one
	unsorted  bool // and one was not
	respelled bool // entries are there whose keys might be equal but for case
	err       *Error
}

// entry is an entry of a map on its way into keys.
type entry struct {
	name  name   // as it stands in keys
	field string // as it stands in paths
	upper bool   // there are upper-case letters in it
	path  uint32 // which of the encoder's paths leads here, if not 0
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
	e.secretKey, e.only, e.paths = o.secretKey, only, append(e.paths, "")
	e.run(program, reflect.ValueOf(v).Elem())
	return e.finish(c.leaves)
}

// forget drops what the call referred to, but keeps the memory.
func (e *encoder) forget() {
	clear(e.paths)
	for i := range e.entries {
		clear(e.entries[i])
		e.entries[i] = e.entries[i][:0]
	}
	*e = encoder{text: e.text[:0], refs: e.refs[:0], head: e.head[:0], paths: e.paths[:0], entries: e.entries}
}

// finish turns what was written into a key set.
func (e *encoder) finish(leaves []*leaf) (KeySet, error) {
	if e.err != nil {
		return KeySet{}, e.err
	}
	if len(e.text) > math.MaxUint32 {
		return KeySet{}, &Error{Reason: "has more text than a key set can hold"}
	}
	ks := KeySet{text: string(e.text), refs: slices.Clone(e.refs), names: slices.Clone(e.paths), leaves: leaves}
	if e.unsorted {
		ks.sort()
	}
	if e.unsorted || e.respelled {
		if err := ks.distinct(); err != nil {
			return KeySet{}, err
		}
	}
	return ks, nil
}

// distinct makes sure that no two pairs have one key, ASCII case ignored.
func (ks KeySet) distinct() error {
	seen := make(map[string]int, len(ks.refs))
	for i := range ks.refs {
		key := fold(ks.key(i))
		if other, ok := seen[key]; ok {
			p := ks.at(i)
			return &Error{Field: p.Field(), Key: p.Key, Reason: "would have the same key as " + ks.at(other).Field()}
		}
		seen[key] = i
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
			s.leaf.write(e, s.leaf, v)
		case s.over == nil:
			e.run(s.body, v)
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
	plain, outer := s.over.elem.kind != kindStruct, len(e.head)
	e.depth++
	for i := range v.Len() {
		before := len(e.refs)
		e.enterIndex(outer, s.literal, i)
		e.run(s.body, v.Index(i))
		if plain && len(e.refs) == before {
			e.fail(s.over.place.path, "", "has an element that is empty, which has no encoding")
		}
	}
	e.leave(outer)
	e.depth--
}

// enterIndex begins with an element of a list, whose keys begin with the outer part of the head.
func (e *encoder) enterIndex(outer int, literal string, i int) {
	e.head = strconv.AppendInt(append(e.head[:outer], literal...), int64(i), 10)
	e.turned = true
}

func (e *encoder) leave(outer int) { e.head, e.turned = e.head[:outer], true }

func (e *encoder) runMap(s *step, v reflect.Value) {
	outer, path := len(e.head), e.path
	list := e.sorted(s.over, v)
	e.depth++
	for i := range list {
		x := &list[i]
		if x.path == 0 {
			x.path = e.pathTo(path, x.field)
		}
		e.path, e.turned = x.path, true
		e.head = append(append(e.head[:outer], s.literal...), x.name[s.style]...)
		e.run(s.body, x.value)
	}
	e.path = path
	e.leave(outer)
	e.depth--
}

// pathTo notes the way to an entry below another.
func (e *encoder) pathTo(outer uint32, field string) uint32 {
	if way := e.paths[outer]; way != "" {
		field = way + hole + field
	}
	e.paths = append(e.paths, field)
	return offset(len(e.paths) - 1)
}

// sorted gives a map's entries in the order of their keys.
func (e *encoder) sorted(n *node, v reflect.Value) []entry {
	if e.depth < len(e.only) {
		return e.one(n, v, e.only[e.depth])
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
func (e *encoder) one(n *node, v reflect.Value, field string) []entry {
	value := v.MapIndex(reflect.ValueOf(field).Convert(v.Type().Key()))
	if !value.IsValid() {
		return nil
	}
	own := reflect.New(value.Type()).Elem() // what is in a map cannot be addressed, a copy can
	own.Set(value)
	x, ok := e.entry(n, field, own)
	if !ok {
		return nil
	}
	return []entry{x}
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
	if len(list) < 2 || !slices.ContainsFunc(list, func(x entry) bool { return x.upper }) {
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

// collect gives a map's entries in any order, appended to list.
func (e *encoder) collect(n *node, v reflect.Value, list []entry) []entry {
	var own reflect.Value // what is in a map cannot be addressed, a copy can
	if n.elem.kind != kindPointer {
		own = reflect.MakeSlice(n.elems, v.Len(), v.Len())
	}
	key := reflect.New(v.Type().Key()).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		var value reflect.Value
		if n.elem.kind == kindPointer {
			value = it.Value()
		} else {
			value = own.Index(len(list))
			value.SetIterValue(it)
		}
		x, ok := e.entry(n, key.String(), value)
		if !ok {
			return nil
		}
		list = append(list, x)
	}
	return list
}

// entry checks the name of an entry.
func (e *encoder) entry(n *node, field string, value reflect.Value) (entry, bool) {
	all := classesOf(field)
	if n.open && field == "" || !n.open && !validNameOf(field, all) {
		e.fail(n.place.path, "", "has an entry whose name cannot be part of a key")
		return entry{}, false
	}
	return entry{name: nameOf(encodeName(field, all)), field: field, upper: all&upperCase != 0, value: value}, true
}

func (e *encoder) fail(path, key, reason string) {
	if e.err == nil {
		e.err = &Error{Field: fill(path, e.paths[e.path]), Key: key, Reason: reason}
	}
}
