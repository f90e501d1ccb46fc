package extraconfig

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is an entry of a map on its way into keys.
type entry struct {
	name  name   // as it stands in keys
	field string // as it stands in paths
	value reflect.Value
}

// encoder runs a program. It is used for one call at a time; its memory is kept between calls.
type encoder struct {
	secretKey []byte
	buf       []byte    // all text that is not a string elsewhere
	raw       []rawPair // what was written, before the buffer became a string
	names     []name    // of the loops that are running
	path      string    // the names of the map entries among them
	entries   [][]entry // of each map with an id, sorted, once a call
	err       *Error    // the first
}

// rawPair is a pair whose text may still be in the buffer.
type rawPair struct {
	key, value        string // when it is a string already
	keyAt, keyEnd     int
	valueAt, valueEnd int
	leaf              *leaf
	entry             string
}

// Encode gives v's key set. An *Error names what cannot be encoded: an entry whose name cannot be
// part of a key, two fields that meet in one key, a secret without a key to seal it.
func (c *Codec[T]) Encode(v *T, opts ...Option) (KeySet, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return KeySet{}, err
	}
	e := c.scratch.Get().(*encoder)
	defer c.scratch.Put(e)
	defer e.forget()
	e.secretKey = o.secretKey
	e.run(c.program, reflect.ValueOf(v).Elem())
	if e.err != nil {
		return KeySet{}, e.err
	}
	return e.finish()
}

// forget drops what the call referred to, but keeps the memory.
func (e *encoder) forget() {
	clear(e.raw)
	for i := range e.entries {
		clear(e.entries[i])
		e.entries[i] = e.entries[i][:0]
	}
	*e = encoder{buf: e.buf[:0], raw: e.raw[:0], names: e.names[:0], entries: e.entries}
}

// finish turns what was written into a key set.
func (e *encoder) finish() (KeySet, error) {
	text := string(e.buf)
	pairs := make([]Pair, len(e.raw))
	sorted := true
	for i := range e.raw {
		r, p := &e.raw[i], &pairs[i]
		p.Key, p.Value, p.leaf, p.entry = r.key, r.value, r.leaf, r.entry
		if r.keyEnd > 0 {
			p.Key = text[r.keyAt:r.keyEnd]
		}
		if r.valueEnd > 0 {
			p.Value = text[r.valueAt:r.valueEnd]
		}
		sorted = sorted && (i == 0 || pairs[i-1].Key < p.Key)
	}
	if sorted {
		return KeySet{pairs}, nil
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(pairs); i++ {
		if a, b := pairs[i-1], pairs[i]; a.Key == b.Key {
			return KeySet{}, &Error{Field: b.Field(), Key: b.Key, Reason: "would have the same key as " + a.Field()}
		}
	}
	return KeySet{pairs}, nil
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
	e.names = append(e.names, name{})
	for i := range v.Len() {
		e.names[len(e.names)-1][asIs] = strconv.Itoa(i)
		e.run(s.body, v.Index(i))
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
	if n.mapID > 0 {
		e.entries[n.mapID-1] = list
	}
	return list
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

func (e *encoder) collect(n *node, v reflect.Value, list []entry) []entry {
	key := reflect.New(v.Type().Key()).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		k := key.String()
		if n.open && k == "" || !n.open && !validName(k) {
			e.fail(n.place.path, "", "has an entry whose name cannot be part of a key")
			return nil
		}
		value := it.Value()
		if value.Kind() == reflect.Struct { // the fields of a copy can be addressed, those of an entry cannot
			value = reflect.New(value.Type()).Elem()
			value.SetIterValue(it)
		}
		list = append(list, entry{name: nameOf(encodeName(k)), field: k, value: value})
	}
	return list
}

func (e *encoder) fail(path, key, reason string) {
	if e.err == nil {
		e.err = &Error{Field: fill(path, e.path), Key: key, Reason: reason}
	}
}

// begin starts a pair: its key.
func (e *encoder) begin(l *leaf, names []name) *rawPair {
	e.raw = append(e.raw, rawPair{leaf: l, entry: e.path})
	r := &e.raw[len(e.raw)-1]
	if key, ok := l.key.constant(); ok {
		r.key = key
		return r
	}
	r.keyAt = len(e.buf)
	e.buf = l.key.appendTo(e.buf, names, "")
	r.keyEnd = len(e.buf)
	return r
}

// text writes a pair whose value is a string already.
func (e *encoder) text(l *leaf, value string) {
	r := e.begin(l, e.names)
	r.value = e.sealed(l, r, value)
}

// sealed gives the value as it travels.
func (e *encoder) sealed(l *leaf, r *rawPair, value string) string {
	if !l.secret {
		return value
	}
	key := r.key
	if r.keyEnd > 0 {
		key = string(e.buf[r.keyAt:r.keyEnd])
	}
	if e.secretKey == nil {
		e.fail(l.path, key, "is secret, and there is no key to seal it with")
		return ""
	}
	return seal(e.secretKey, key, value)
}

// built writes a pair whose value text appends to the buffer.
func (e *encoder) built(l *leaf, text func([]byte) []byte) {
	r := e.begin(l, e.names)
	at := len(e.buf)
	e.buf = text(e.buf)
	if l.secret {
		plain := string(e.buf[at:])
		e.buf = e.buf[:at]
		r.value = e.sealed(l, r, plain)
		return
	}
	if r.valueAt = at; len(e.buf) > at {
		r.valueEnd = len(e.buf)
	}
}

// write writes the pairs of a leaf.
func (e *encoder) write(l *leaf, v reflect.Value) {
	switch {
	case l.part >= partURL:
		e.writeURL(l, v)
		return
	case l.part == partIP, l.part == partMask:
		if p := v.Addr().Interface().(*netip.Prefix); p.IsValid() {
			e.built(l, func(b []byte) []byte { return appendPrefix(b, *p, l.part) })
		}
		return
	case l.part == partIndex:
		if v.Len() > 0 {
			e.writeIndex(l, v)
		}
		return
	case l.part == partLength:
		if n := v.Len(); n > 0 {
			e.built(l, func(b []byte) []byte { return strconv.AppendInt(b, int64(n-1), 10) })
		}
		return
	case l.part == partJoined:
		if v.Len() > 0 {
			e.writeJoined(l, v)
		}
		return
	}
	switch l.node.kind {
	case kindString:
		e.text(l, v.String())
	case kindBool:
		e.text(l, boolText(v.Bool()))
	case kindInt:
		if i := v.Int(); 0 <= i && i < 10 {
			e.text(l, "0123456789"[i:i+1])
		} else {
			e.built(l, func(b []byte) []byte { return strconv.AppendInt(b, i, 10) })
		}
	case kindUint:
		e.built(l, func(b []byte) []byte { return strconv.AppendUint(b, v.Uint(), 10) })
	case kindBytes:
		if v.Len() > 0 {
			e.built(l, func(b []byte) []byte { return base64Text.AppendEncode(b, v.Bytes()) })
		}
	case kindAddr:
		if a := v.Addr().Interface().(*netip.Addr); a.IsValid() {
			e.built(l, func(b []byte) []byte { return appendAddr(b, *a) })
		}
	case kindTime:
		e.built(l, func(b []byte) []byte { return v.Addr().Interface().(*time.Time).UTC().AppendFormat(b, timeLayout) })
	}
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// writeIndex writes the names of a map's entries, sorted as they stand in keys.
func (e *encoder) writeIndex(l *leaf, v reflect.Value) {
	list := e.sorted(l.node, v)
	if len(list) == 1 {
		e.text(l, list[0].name[asIs])
		return
	}
	plain := slices.IsSortedFunc(list, func(a, b entry) int { return strings.Compare(a.name[asIs], b.name[asIs]) })
	if !plain { // one name begins another: the order of the keys is not that of the names
		list = slices.Clone(list)
		slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name[asIs], b.name[asIs]) })
	}
	e.built(l, func(b []byte) []byte {
		for i := range list {
			if i > 0 {
				b = append(b, '|')
			}
			b = append(b, list[i].name[asIs]...)
		}
		return b
	})
}

// writeJoined writes a list of plain values in one value, and each by itself when one contains the separator.
func (e *encoder) writeJoined(l *leaf, v reflect.Value) {
	n := v.Len()
	if l.node.kind == kindStrings && n == 1 && !strings.Contains(v.Index(0).String(), "|") {
		e.text(l, v.Index(0).String())
		return
	}
	bars := false
	e.built(l, func(b []byte) []byte {
		for i := range n {
			if i > 0 {
				b = append(b, '|')
			}
			x := v.Index(i)
			switch x.Kind() {
			case reflect.String:
				bars = bars || strings.Contains(x.String(), "|")
				b = append(b, x.String()...)
			case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
				b = strconv.AppendInt(b, x.Int(), 10)
			default:
				b = strconv.AppendUint(b, x.Uint(), 10)
			}
		}
		return b
	})
	if !bars {
		return
	}
	element := l.node.parts[1]
	e.names = append(e.names, name{})
	for i := range n {
		e.names[len(e.names)-1][asIs] = strconv.Itoa(i)
		e.text(element, v.Index(i).String())
	}
	e.names = e.names[:len(e.names)-1]
}

func (e *encoder) writeURL(l *leaf, v reflect.Value) {
	u := urlAt(v)
	switch urlParts[l.part-partURL] {
	case "Scheme":
		e.text(l, u.Scheme)
	case "Opaque":
		e.text(l, u.Opaque)
	case "Host":
		e.text(l, u.Host)
	case "Path":
		e.text(l, u.Path)
	case "RawPath":
		e.text(l, u.RawPath)
	case "ForceQuery":
		e.text(l, boolText(u.ForceQuery))
	case "RawQuery":
		e.text(l, u.RawQuery)
	case "Fragment":
		e.text(l, u.Fragment)
	case "User":
		if u.User != nil {
			e.text(l, u.User.String())
		}
	}
}
