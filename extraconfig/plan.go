package extraconfig

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// node is a type at its place in the document.
type node struct {
	kind  kind
	typ   reflect.Type
	index int // of the field in its parent
	place place
	leaf  *leaf // of the value itself, or of its length or index
	// parts are the further templates of kinds that have several keys: IP and Mask, the parts of a URL,
	// joined elements.
	parts  []*leaf
	fields []*node      // of a struct
	elem   *node        // of a list, a map or a pointer
	open   bool         // a map whose entry names are free
	elems  reflect.Type // a list of a map's elements
	valid  bool         // a type that knows which of its values mean something
	mapID  int          // numbers the maps that are reached without passing through entries, from 1
	report bool         // there are read-write fields here or below
}

// place is what a level of the document inherits and passes on.
type place struct {
	draft         draft
	path          string // dotted, * for entries
	scope         Scope
	secret        bool
	nonPersistent bool
	keyless       bool   // hidden below non-persistent: no key
	unit          bool   // inside a list: all below is one field
	doc           string // as path, but to the very last field: exitLogs[].time
}

// leaf is one key template and what is known of its pairs.
type leaf struct {
	key           template
	part          part
	node          *node
	path          string // of the field: the unit of reports
	scope         Scope
	secret        bool
	nonPersistent bool
	write         func(*encoder, *leaf, reflect.Value)
	steps         []hop // from the root to the value
	over          *node // the outermost map on the way, if it has an index of its own
	all           []*leaf
	id            uint32 // where it is in all
}

// hop is one move from the root of a value toward a leaf.
type hop struct {
	field int   // of a struct, when entry is nil
	entry *node // into the entries of this list or map
}

// part says which of a node's pairs a leaf is.
type part uint8

const (
	partValue   part = iota // a scalar
	partLength              // of a list
	partJoined              // elements of a list of plain values, joined
	partElement             // one such element whole; written together with the joined ones
	partIndex               // of a map
	partIP                  // of a CIDR
	partMask                // of a CIDR
	partURL                 // the first of a URL's; the others follow in the order of urlParts
)

const partUser = partURL + part(len(urlParts)-1)

// compiler walks a type once.
type compiler struct {
	leaves []*leaf
	schema []Field
	maps   int
	types  []reflect.Type // on the way, to find types that contain themselves
}

func (c *compiler) compile(t reflect.Type) (*node, error) {
	root := &node{kind: kindStruct, typ: t, place: place{scope: Hidden}}
	return root, c.structFields(root, nil)
}

// enter notes that t is being compiled, until leave is called. A type that contains itself has no end.
func (c *compiler) enter(t reflect.Type, p place) (leave func(), err error) {
	if slices.Contains(c.types, t) {
		return nil, fmt.Errorf("field %s: %s contains itself", p.path, t)
	}
	c.types = append(c.types, t)
	return func() { c.types = c.types[:len(c.types)-1] }, nil
}

// structFields compiles the fields of n; hops lead to n.
func (c *compiler) structFields(n *node, hops []hop) error {
	leave, err := c.enter(n.typ, n.place)
	if err != nil {
		return err
	}
	defer leave()
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		t, err := parseTag(f)
		if err != nil {
			return fmt.Errorf("field %s.%s: %w", n.typ, f.Name, err)
		}
		if t.skip {
			continue
		}
		child := &node{typ: f.Type, index: i, place: n.place.below(t, jsonName(n.typ, f))}
		if err := c.value(child, append(hops[:len(hops):len(hops)], hop{field: i})); err != nil {
			return err
		}
		if child.encoded() {
			n.fields = append(n.fields, child)
			n.report = n.report || child.report
		}
	}
	return nil
}

// encoded reports whether there are keys here or below.
func (n *node) encoded() bool {
	switch n.kind {
	case kindStruct:
		return len(n.fields) > 0
	case kindPointer:
		return n.elem.encoded()
	}
	return !n.place.keyless
}

// first is the first leaf here or below.
func (n *node) first() *leaf {
	switch {
	case n.leaf != nil:
		return n.leaf
	case len(n.parts) > 0:
		return n.parts[0]
	case n.elem != nil:
		return n.elem.first()
	}
	return n.fields[0].first()
}

// below is the place of a field.
func (p place) below(t tag, jsonName string) place {
	next := p
	if t.tagged {
		next.scope, next.secret = t.scope, t.secret
		next.keyless = t.scope == Hidden && p.nonPersistent
	}
	next.nonPersistent = p.nonPersistent || t.nonPersistent
	next.draft = p.draft.join(next.scope, t.key)
	next.doc = dotted(p.doc, jsonName)
	if !p.unit {
		next.path = dotted(p.path, jsonName)
	}
	return next
}

func dotted(path, step string) string {
	if path == "" || step == "" {
		return path + step
	}
	return path + "." + step
}

func (p place) suffix(secret bool) string {
	var s string
	if secret {
		s = "@secret"
	}
	if p.nonPersistent {
		s += "@non-persistent"
	}
	return s
}

// jsonName is the field's step in a path: none for embedded structs, whose fields stand in the parent's document, and
// none in a struct that is one text in a document.
func jsonName(parent reflect.Type, f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case parent.Implements(typeText):
		return ""
	case name != "" && name != "-":
		return name
	case f.Anonymous && f.Type.Kind() == reflect.Struct:
		return ""
	}
	return f.Name
}

// value compiles a value of any type; hops lead to it.
func (c *compiler) value(n *node, hops []hop) error {
	k, err := kindOf(n.typ)
	if err != nil {
		return fmt.Errorf("field %s: %w", n.place.path, err)
	}
	n.kind = k
	n.report = n.place.scope == ReadWrite
	n.valid = (k == kindInt || k == kindStruct) && n.typ.Implements(typeValid)
	if n.place.keyless && k != kindStruct && k != kindPointer {
		return nil // a hidden struct does not hide its visible fields; a list that has no key cannot be read
	}
	c.describe(n)
	switch k {
	case kindPointer:
		n.elem = &node{typ: n.typ.Elem(), place: n.place}
		err := c.value(n.elem, hops)
		n.report = n.elem.report
		return err
	case kindStruct:
		n.report = false
		return c.structFields(n, hops)
	case kindPrefix:
		n.parts = []*leaf{
			c.leaf(n, partIP, n.place.draft.join(n.place.scope, "IP"), hops),
			c.leaf(n, partMask, n.place.draft.join(n.place.scope, "Mask"), hops),
		}
	case kindURL:
		for i, name := range urlParts {
			n.parts = append(n.parts, c.leaf(n, partURL+part(i), n.place.draft.join(n.place.scope, name), hops))
		}
	case kindStrings, kindInts:
		n.elem = &node{typ: n.typ.Elem(), place: n.place}
		n.elem.kind, _ = kindOf(n.elem.typ)
		n.elem.valid = n.elem.typ.Implements(typeValid)
		n.leaf = c.leaf(n, partLength, n.place.draft, hops)
		n.parts = []*leaf{
			c.leaf(n, partJoined, n.place.draft.append("~"), hops),
			// Elements that contain the separator are written whole, too.
			c.leaf(n, partElement, n.place.draft.entry(n.place.scope, true), hops),
		}
	case kindList:
		n.leaf = c.leaf(n, partLength, n.place.draft, hops)
		return c.entries(n, n.place.entry(true), hops)
	case kindMap:
		n.leaf = c.leaf(n, partIndex, n.place.draft, hops)
		if holes(hops) == 0 {
			c.maps++
			n.mapID = c.maps
		}
		return c.entries(n, n.place.entry(false), hops)
	default:
		n.leaf = c.leaf(n, partValue, n.place.draft, hops)
	}
	return nil
}

func (c *compiler) entries(n *node, p place, hops []hop) error {
	leave, err := c.enter(n.typ, n.place)
	if err != nil {
		return err
	}
	defer leave()
	n.elem, n.elems = &node{typ: n.typ.Elem(), place: p}, reflect.SliceOf(n.typ.Elem())
	if err := c.value(n.elem, append(hops[:len(hops):len(hops)], hop{entry: n})); err != nil {
		return err
	}
	n.open = n.kind == kindMap && n.elem.kind <= kindTime // names that are free can be told from what follows if nothing does
	n.report = n.report || n.elem.report
	return nil
}

// entry is the place of an entry.
func (p place) entry(index bool) place {
	p.draft = p.draft.entry(p.scope, index)
	if index {
		p.doc += "[]"
		p.unit = true // a list is one field
		return p
	}
	p.doc += ".*"
	if !p.unit {
		p.path += ".*"
	}
	return p
}

func (c *compiler) leaf(n *node, pt part, d draft, hops []hop) *leaf {
	secret := n.place.secret || pt == partUser
	l := &leaf{
		key: d.template(n.place.suffix(secret)), part: pt, node: n, path: n.place.path,
		scope: n.place.scope, secret: secret, nonPersistent: n.place.nonPersistent, steps: hops,
	}
	l.write = writer(l)
	for _, h := range hops {
		if h.entry != nil {
			if h.entry.mapID > 0 {
				l.over = h.entry
			}
			break
		}
	}
	c.leaves = append(c.leaves, l)
	return l
}

func holes(hops []hop) int {
	n := 0
	for _, h := range hops {
		if h.entry != nil {
			n++
		}
	}
	return n
}
