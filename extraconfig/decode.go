package extraconfig

import (
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// Decode reads a key set into a new T, in canonical form. The error is Errors, and lists every field
// that did not parse, each by its key; the value has all the others. Keys that are not ours, and entries
// that no index names, are ignored. Nothing is allocated in proportion to a number that was read.
func (c *Codec[T]) Decode(keys map[string]string, opts ...Option) (*T, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	d := &decoder{keys: keys, secretKey: o.secretKey}
	v := new(T)
	d.fields(c.root, reflect.ValueOf(v).Elem())
	if d.hits == len(keys) || d.hits == c.match.near(keys) {
		return v, d.errs.err()
	}
	// Some keys of ours were not asked for by their exact name: other spellings, or entries without an index.
	spellings, twice := c.match.spellings(keys)
	d = &decoder{keys: keys, spellings: spellings, twice: twice, secretKey: o.secretKey}
	v = new(T)
	d.fields(c.root, reflect.ValueOf(v).Elem())
	return v, d.errs.err()
}

// decoder reads one key set.
type decoder struct {
	keys      map[string]string
	spellings map[string]string // folded key -> the key as it is; nil while exact keys are tried
	twice     map[string]string // as it is -> another key that means the same
	secretKey []byte
	buf       []byte
	names     []name
	path      string // names of the map entries on the way
	hits      int    // keys that were found
	failed    bool   // something of the present field did not parse
	errs      Errors
}

func (d *decoder) fail(l *leaf, key string, err error) {
	d.failed = true
	d.errs = append(d.errs, &Error{Field: fill(l.path, d.path), Key: key, Reason: err.Error()})
}

// key gives the key of a leaf as text, for errors and other rare uses.
func (d *decoder) key(l *leaf) string { return string(l.key.appendTo(nil, d.names, "")) }

// get looks up the value of a leaf.
func (d *decoder) get(l *leaf) (string, bool) {
	var value string
	var ok bool
	if key, constant := l.key.constant(); constant {
		value, ok = d.keys[key]
	} else {
		d.buf = l.key.appendTo(d.buf[:0], d.names, "")
		value, ok = d.keys[string(d.buf)]
	}
	switch {
	case d.spellings != nil:
		return d.respelled(l)
	case !ok:
		return "", false
	}
	d.hits++
	if l.secret {
		return d.opened(l, d.key(l), value)
	}
	return value, true
}

// respelled looks up a key in whatever spelling it is there. Two of them are an error.
func (d *decoder) respelled(l *leaf) (string, bool) {
	key, ok := d.spellings[fold(d.key(l))]
	if !ok {
		return "", false
	}
	d.hits++
	if other, two := d.twice[key]; two {
		d.fail(l, key, errTwice(other))
		return "", false
	}
	if l.secret {
		return d.opened(l, d.key(l), d.keys[key])
	}
	return d.keys[key], true
}

type errTwice string

func (e errTwice) Error() string { return "stands for the same field as " + string(e) }

// opened opens a secret, which was sealed for exactly the key that we would write.
func (d *decoder) opened(l *leaf, key, value string) (string, bool) {
	if d.secretKey == nil {
		d.fail(l, key, errNoSecretKey)
		return "", false
	}
	plain, err := open(d.secretKey, key, value)
	if err != nil {
		d.fail(l, key, err)
		return "", false
	}
	return plain, true
}

const errNoSecretKey = decodeError("is secret, and there is no key to open it with")

type decodeError string

func (e decodeError) Error() string { return string(e) }

func (d *decoder) fields(n *node, v reflect.Value) {
	for _, f := range n.fields {
		d.value(f, v.Field(f.index))
	}
}

// value reads n into v, which is zero and can be set.
func (d *decoder) value(n *node, v reflect.Value) {
	switch n.kind {
	case kindStruct:
		d.fields(n, v)
	case kindPointer:
		hits := d.hits
		target := reflect.New(n.typ.Elem())
		if d.value(n.elem, target.Elem()); d.hits > hits && (n.elem.kind == kindStruct || !target.Elem().IsZero()) {
			v.Set(target)
		}
	case kindPrefix:
		d.prefix(n, v)
	case kindURL:
		d.url(n, v)
	case kindStrings, kindInts:
		d.joined(n, v)
	case kindList:
		d.list(n, v)
	case kindMap:
		d.entries(n, v)
	default:
		if text, ok := d.get(n.leaf); ok {
			if err := setScalar(n.kind, v, text); err != nil {
				d.fail(n.leaf, d.key(n.leaf), err)
			}
		}
	}
}

func (d *decoder) prefix(n *node, v reflect.Value) {
	ip, ok1 := d.get(n.parts[0])
	mask, ok2 := d.get(n.parts[1])
	if ip == "" && mask == "" {
		return
	}
	if !ok1 || !ok2 || ip == "" || mask == "" {
		d.fail(n.parts[0], d.key(n.parts[0]), errNoMask)
		return
	}
	a, err := parseAddr(ip)
	if err != nil {
		d.fail(n.parts[0], d.key(n.parts[0]), err)
		return
	}
	p, err := parseMask(mask, a)
	if err != nil {
		d.fail(n.parts[1], d.key(n.parts[1]), err)
		return
	}
	*v.Addr().Interface().(*netip.Prefix) = p
}

func (d *decoder) url(n *node, v reflect.Value) {
	var u url.URL
	for i, to := range []*string{&u.Scheme, &u.Opaque, &u.Host, &u.Path, &u.RawPath, nil, &u.RawQuery, &u.Fragment, nil} {
		l := n.parts[i]
		text, ok := d.get(l)
		switch {
		case !ok:
		case to != nil:
			*to = text
		case l.part == partUser:
			user, err := parseUser(text)
			if err != nil {
				d.fail(l, d.key(l), err)
				continue
			}
			u.User = user
		default:
			if text != "true" && text != "false" {
				d.fail(l, d.key(l), errBool)
				continue
			}
			u.ForceQuery = text == "true"
		}
	}
	*urlAt(v) = u
}

const (
	errLength  = decodeError("is a length that its elements do not have")
	errIndex   = decodeError("is not an index of distinct entry names, each with a key")
	errElement = decodeError("joined with the others is not what the joined key holds")
)

// length reads a list's length: one less is written. Every element needs a key of its own or a place
// in one, so a length beyond what is there is refused before anything is allocated.
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

func (d *decoder) joined(n *node, v reflect.Value) {
	joined, ok := d.get(n.parts[0])
	length := d.length(n.leaf, len(joined)+1)
	if length == 0 {
		return
	}
	if !ok {
		d.fail(n.leaf, d.key(n.leaf), errLength)
		return
	}
	list := reflect.MakeSlice(n.typ, length, length)
	if strings.Count(joined, "|")+1 == length {
		i := 0
		for text := range strings.SplitSeq(joined, "|") {
			if err := setScalar(scalarKind(n), list.Index(i), text); err != nil {
				d.fail(n.parts[0], d.key(n.parts[0]), err)
				return
			}
			i++
		}
		v.Set(list)
		return
	}
	if d.elements(n, list, joined) {
		v.Set(list)
	}
}

func scalarKind(n *node) kind {
	k, _ := kindOf(n.typ.Elem())
	return k
}

// elements reads a list whose elements stand each by itself, because some contain the separator.
func (d *decoder) elements(n *node, list reflect.Value, joined string) bool {
	element := n.parts[1]
	d.names = append(d.names, name{})
	defer func() { d.names = d.names[:len(d.names)-1] }()
	rest := joined
	for i := range list.Len() {
		d.names[len(d.names)-1][asIs] = strconv.Itoa(i)
		text, ok := d.get(element)
		if ok && i > 0 {
			rest, ok = strings.CutPrefix(rest, "|")
		}
		if ok {
			rest, ok = strings.CutPrefix(rest, text)
		}
		if !ok {
			d.fail(element, d.key(element), errElement)
			return false
		}
		if err := setScalar(scalarKind(n), list.Index(i), text); err != nil {
			d.fail(element, d.key(element), err)
			return false
		}
	}
	if rest != "" {
		d.fail(n.parts[0], d.key(n.parts[0]), errElement)
		return false
	}
	return true
}

func (d *decoder) list(n *node, v reflect.Value) {
	length := d.length(n.leaf, len(d.keys))
	if length == 0 {
		return
	}
	list := reflect.MakeSlice(n.typ, length, length)
	d.names = append(d.names, name{})
	defer func() { d.names = d.names[:len(d.names)-1] }()
	for i := range length {
		d.names[len(d.names)-1][asIs] = strconv.Itoa(i)
		hits := d.hits
		d.value(n.elem, list.Index(i))
		if d.hits == hits {
			d.names = d.names[:len(d.names)-1]
			d.fail(n.leaf, d.key(n.leaf), errLength)
			d.names = append(d.names, name{})
			return
		}
	}
	v.Set(list)
}

// entries reads a map whose index names its entries.
func (d *decoder) entries(n *node, v reflect.Value) {
	index, ok := d.get(n.leaf)
	if !ok || index == "" {
		return
	}
	count := strings.Count(index, "|") + 1
	if count > len(d.keys) {
		d.fail(n.leaf, d.key(n.leaf), errIndex)
		return
	}
	m := reflect.MakeMapWithSize(n.typ, count)
	path := d.path
	defer func() { d.path = path }()
	for written := range strings.SplitSeq(index, "|") {
		field := decodeName(written)
		key := reflect.ValueOf(field).Convert(n.typ.Key())
		if written == "" || (!n.open && !validName(field)) || m.MapIndex(key).IsValid() {
			d.path = path
			d.fail(n.leaf, d.key(n.leaf), errIndex)
			continue
		}
		d.path = field
		if path != "" {
			d.path = path + hole + field
		}
		d.names = append(d.names, nameOf(written))
		d.entry(n, m, key)
		d.names = d.names[:len(d.names)-1]
	}
	d.path = path
	if m.Len() > 0 {
		v.Set(m)
	}
}

func (d *decoder) entry(n *node, m, key reflect.Value) {
	elem := reflect.New(n.elem.typ).Elem()
	if n.elem.kind == kindPointer { // an entry that the index names is there, whatever keys it has
		elem.Set(reflect.New(n.elem.typ.Elem()))
		d.value(n.elem.elem, elem.Elem())
	} else {
		d.value(n.elem, elem)
	}
	m.SetMapIndex(key, elem)
}
