package extraconfig

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// kind is how a type is encoded.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindUint
	kindBytes
	kindAddr
	kindTime
	kindPrefix  // two keys
	kindURL     // eight keys, and a secret one for credentials
	kindStrings // length and joined elements
	kindInts    // as kindStrings
	kindList    // length and each element
	kindMap     // index and each entry
	kindPointer // nothing, or what it points to
	kindStruct  // its fields
)

var kindNames = [...]string{
	kindString: "string", kindBool: "bool", kindInt: "int", kindUint: "int", kindBytes: "bytes", kindAddr: "address", kindTime: "time",
	kindPrefix: "CIDR", kindURL: "URL", kindStrings: "list of strings", kindInts: "list of ints", kindList: "list", kindMap: "map",
}

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
	fields []*node // of a struct
	elem   *node   // of a list, a map or a pointer
	open   bool    // a map whose entry names are free
	mapID  int     // numbers the maps that are reached without passing through entries, from 1
	report bool    // there are read-write fields here or below
}

// place is what a level of the document inherits and passes on.
type place struct {
	draft         draft
	path          string // dotted, * for entries
	scope         Scope
	secret        bool
	nonPersistent bool
	hiddenBelow   bool   // hidden below non-persistent: no key
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
	steps         []hop // from the root to the value
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

var urlParts = [...]string{"Scheme", "Opaque", "Host", "Path", "RawPath", "ForceQuery", "RawQuery", "Fragment", "User"}

const partUser = partURL + 8

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

// structFields compiles the fields of n; hops lead to n.
func (c *compiler) structFields(n *node, hops []hop) error {
	for _, t := range c.types {
		if t == n.typ {
			return fmt.Errorf("%s: %s contains itself", n.place.path, t)
		}
	}
	c.types = append(c.types, n.typ)
	defer func() { c.types = c.types[:len(c.types)-1] }()
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		t, err := parseTag(f)
		if err != nil {
			return fmt.Errorf("field %s.%s: %w", n.typ, f.Name, err)
		}
		if t.skip {
			continue
		}
		p := n.place.below(t, jsonName(f))
		if p.hiddenBelow {
			continue
		}
		child := &node{typ: f.Type, index: i, place: p}
		if err := c.value(child, append(hops[:len(hops):len(hops)], hop{field: i})); err != nil {
			return err
		}
		n.fields = append(n.fields, child)
		n.report = n.report || child.report
	}
	return nil
}

// below is the place of a field.
func (p place) below(t tag, jsonName string) place {
	next := p
	if t.tagged {
		next.scope, next.secret = t.scope, t.secret
		next.hiddenBelow = t.scope == Hidden && p.nonPersistent
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

// jsonName is the field's step in a path: none for embedded structs, whose fields stand in the parent's document.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case name != "" && name != "-":
		return name
	case f.Anonymous && f.Type.Kind() == reflect.Struct:
		return ""
	}
	return f.Name
}

var (
	typeURL    = reflect.TypeFor[url.URL]()
	typeAddr   = reflect.TypeFor[netip.Addr]()
	typePrefix = reflect.TypeFor[netip.Prefix]()
	typeTime   = reflect.TypeFor[time.Time]()
)

// value compiles a value of any type; hops lead to it.
func (c *compiler) value(n *node, hops []hop) error {
	k, err := kindOf(n.typ)
	if err != nil {
		return fmt.Errorf("field %s: %w", n.place.path, err)
	}
	n.kind = k
	n.report = n.place.scope == ReadWrite
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
		if err := c.entries(n, n.place.entry(false), hops); err != nil {
			return err
		}
		n.open = n.elem.kind != kindStruct && n.elem.kind != kindPointer
	default:
		n.leaf = c.leaf(n, partValue, n.place.draft, hops)
	}
	return nil
}

func (c *compiler) entries(n *node, p place, hops []hop) error {
	n.elem = &node{typ: n.typ.Elem(), place: p}
	if err := c.value(n.elem, append(hops[:len(hops):len(hops)], hop{entry: n})); err != nil {
		return err
	}
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

// kindOf finds how a type is encoded.
func kindOf(t reflect.Type) (kind, error) {
	switch {
	case t == typeAddr:
		return kindAddr, nil
	case t == typePrefix:
		return kindPrefix, nil
	case t == typeTime:
		return kindTime, nil
	case t.Kind() == reflect.Struct && t.ConvertibleTo(typeURL):
		return kindURL, nil
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, nil
	case reflect.Bool:
		return kindBool, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return kindUint, nil
	case reflect.Struct:
		return kindStruct, nil
	case reflect.Pointer:
		switch k, err := kindOf(t.Elem()); {
		case err != nil:
			return 0, err
		case k == kindPointer || k == kindMap:
			return 0, fmt.Errorf("%s has no encoding", t)
		}
		return kindPointer, nil
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return kindMap, nil
		}
	case reflect.Slice:
		return sliceKind(t)
	}
	return 0, fmt.Errorf("%s has no encoding", t)
}

func sliceKind(t reflect.Type) (kind, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return kindBytes, nil
	}
	switch k, err := kindOf(t.Elem()); {
	case err != nil:
		return 0, err
	case k == kindString:
		return kindStrings, nil
	case k == kindInt || k == kindUint:
		return kindInts, nil
	case k == kindStruct || k == kindAddr || k == kindPrefix:
		return kindList, nil
	}
	return 0, fmt.Errorf("%s has no encoding", t)
}
