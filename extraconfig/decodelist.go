package extraconfig

import (
	"reflect"
	"strconv"
	"strings"
)

const (
	errLength  = decodeError("is a length that its elements do not have")
	errIndex   = decodeError("is not an index of names that differ by more than case")
	errElement = decodeError("joined with the others is not what the joined key holds")
)

// length reads a list's length: one less is written. Every element needs a key of its own or a place
// in one, so a length beyond the bound is refused before anything is allocated.
func (d *decoder) length(l *leaf, bound int) int {
	text, ok := d.get(l)
	if !ok || text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < -1 || n >= int64(bound) {
		d.fail(l, d.key(l), errLength)
		return 0
	}
	return int(n) + 1
}

// joined reads a list of plain values.
func (d *decoder) joined(n *node, v reflect.Value) {
	joined, ok := d.get(n.parts[0])
	places := strings.Count(joined, "|") + 1
	if !ok {
		places = 0
	}
	length := d.length(n.leaf, places)
	switch {
	case length == 0:
	case length < places:
		d.elements(n, v, joined, length)
	default:
		list := reflect.MakeSlice(n.typ, length, length)
		i := 0
		for text := range strings.SplitSeq(joined, "|") {
			if err := setScalar(n.elem, list.Index(i), text); err != nil {
				d.fail(n.parts[0], d.key(n.parts[0]), err)
				return
			}
			i++
		}
		v.Set(list)
	}
}

// elements reads a list whose elements stand each by itself, because some contain the separator.
func (d *decoder) elements(n *node, v reflect.Value, joined string, length int) {
	element := n.parts[1]
	list := reflect.New(n.typ).Elem()
	outer := d.names
	defer func() { d.names = outer }()
	for i := range length {
		d.names = append(outer, indexName(i))
		text, ok := d.get(element)
		if ok && i > 0 {
			joined, ok = strings.CutPrefix(joined, "|")
		}
		if ok {
			joined, ok = strings.CutPrefix(joined, text)
		}
		if !ok {
			d.fail(element, d.key(element), errElement)
			return
		}
		grow(list, i)
		if err := setScalar(n.elem, list.Index(i), text); err != nil {
			d.fail(element, d.key(element), err)
			return
		}
	}
	if joined != "" {
		d.fail(element, d.key(element), errElement)
		return
	}
	v.Set(list)
}

// grow makes room for an element at the end. Lists grow with the elements that are found, not to the length that was read.
func grow(list reflect.Value, length int) {
	list.Grow(1)
	list.SetLen(length + 1)
}

// list reads a list whose elements have keys of their own. It is one field: whole or not at all.
func (d *decoder) list(n *node, v reflect.Value) {
	length := d.length(n.leaf, len(d.keys))
	if length == 0 {
		return
	}
	list, errs := reflect.New(n.typ).Elem(), len(d.errs)
	for i := range length {
		grow(list, i)
		d.names = append(d.names, indexName(i))
		hits, wrong := d.hits, len(d.errs)
		d.value(n.elem, list.Index(i))
		d.names = d.names[:len(d.names)-1]
		empty := n.elem.kind != kindStruct && list.Index(i).IsZero() && len(d.errs) == wrong
		if d.hits == hits || empty {
			d.fail(n.leaf, d.key(n.leaf), errLength)
			return
		}
	}
	if len(d.errs) == errs {
		v.Set(list)
	}
}

// entries reads a map whose index names its entries. An entry that the index names is there, whatever keys it has.
func (d *decoder) entries(n *node, v reflect.Value) {
	index, ok := d.get(n.leaf)
	if !ok || index == "" {
		return
	}
	if strings.Count(index, "|") >= len(d.keys) {
		d.fail(n.leaf, d.key(n.leaf), errIndex)
		return
	}
	m := reflect.MakeMap(n.typ)
	seen := newNames(index)
	path, bad := d.path, false
	for written := range strings.SplitSeq(index, "|") {
		field := decodeName(written)
		if written == "" || !n.open && !validName(field) || !seen.add(field) {
			bad = true
			continue
		}
		d.path = field
		if path != "" {
			d.path = path + hole + field
		}
		d.names = append(d.names, nameOf(written))
		m.SetMapIndex(reflect.ValueOf(field).Convert(n.typ.Key()), d.entry(n))
		d.names = d.names[:len(d.names)-1]
	}
	d.path = path
	if bad {
		d.fail(n.leaf, d.key(n.leaf), errIndex)
	}
	if m.Len() > 0 {
		v.Set(m)
	}
}

func (d *decoder) entry(n *node) reflect.Value {
	elem := reflect.New(n.elem.typ).Elem()
	if n.elem.kind != kindPointer {
		d.value(n.elem, elem)
		return elem
	}
	elem.Set(reflect.New(n.elem.typ.Elem()))
	d.value(n.elem.elem, elem.Elem())
	return elem
}

// names is a set of the names of one index, ASCII case ignored.
type names map[string]struct{}

// newNames makes the set for an index, which may have but one name: then there is nothing to remember.
func newNames(index string) names {
	if !strings.Contains(index, "|") {
		return nil
	}
	return names{}
}

// add reports whether the name is new.
func (s names) add(name string) bool {
	if s == nil {
		return true
	}
	folded := fold(name)
	if _, ok := s[folded]; ok {
		return false
	}
	s[folded] = struct{}{}
	return true
}
