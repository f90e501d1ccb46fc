package extraconfig

import (
	"net/netip"
	"reflect"
)

// Decode reads a key set into a new T: IPv4 addresses are not mapped, times are UTC, lists and maps without elements are nil.
// The error is Errors, and lists every field that did not parse, each by its key; the value has all the others. Keys that are
// not ours, and entries that no index names, are ignored. Nothing is allocated in proportion to a number that was read.
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
	d = &decoder{keys: keys, spellings: c.match.spellings(keys), secretKey: o.secretKey}
	v = new(T)
	d.fields(c.root, reflect.ValueOf(v).Elem())
	return v, d.errs.err()
}

// decoder reads one key set.
type decoder struct {
	keys      map[string]string
	spellings map[string]spelling // by folded key; nil while exact keys are tried
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
func (d *decoder) key(l *leaf) string { return string(l.key.appendTo(nil, d.names)) }

// get looks up the value of a leaf.
func (d *decoder) get(l *leaf) (string, bool) {
	if d.spellings != nil {
		return d.respelled(l)
	}
	var value string
	var ok bool
	if key := l.key.constant; key != "" {
		value, ok = d.keys[key]
	} else {
		d.buf = l.key.appendTo(d.buf[:0], d.names)
		value, ok = d.keys[string(d.buf)]
	}
	if !ok {
		return "", false
	}
	return d.found(l, "", value)
}

// respelled looks up a key in whatever spelling it is there. Two of them are an error.
func (d *decoder) respelled(l *leaf) (string, bool) {
	s, ok := d.spellings[fold(d.key(l))]
	switch {
	case !ok:
		return "", false
	case s.twin != "":
		d.hits++
		d.fail(l, s.key, decodeError("stands for the same field as "+s.twin))
		return "", false
	}
	return d.found(l, s.key, d.keys[s.key])
}

// found gives the value that was found for a leaf, at another spelling of its key if that is not empty.
func (d *decoder) found(l *leaf, spelled, value string) (string, bool) {
	d.hits++
	if !l.secret {
		return Unescape(value), true // older tools leave it escaped, and no value of ours looks like that
	}
	own := d.key(l) // whatever the spelling, it was sealed for this
	if spelled == "" {
		spelled = own
	}
	if d.secretKey == nil {
		d.fail(l, spelled, errNoSecretKey)
		return "", false
	}
	plain, err := open(d.secretKey, own, value)
	if err != nil {
		d.fail(l, spelled, err)
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

func (d *decoder) structure(n *node, v reflect.Value) {
	hits, errs := d.hits, len(d.errs)
	d.fields(n, v)
	if n.valid && d.hits > hits && len(d.errs) == errs && !valid(v) {
		first := n.first()
		d.fail(first, d.key(first), errChoice)
	}
}

// value reads n into v, which is zero and can be set.
func (d *decoder) value(n *node, v reflect.Value) {
	switch n.kind {
	case kindStruct:
		d.structure(n, v)
	case kindPointer:
		d.pointer(n, v)
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
			if err := setScalar(n, v, text); err != nil {
				d.fail(n.leaf, d.key(n.leaf), err)
			}
		}
	}
}

// pointer is nil when there is nothing to point to: no key, or what has no keys when it is empty.
func (d *decoder) pointer(n *node, v reflect.Value) {
	hits := d.hits
	target := reflect.New(n.typ.Elem())
	d.value(n.elem, target.Elem())
	switch n.elem.kind {
	case kindStruct, kindString, kindBool, kindInt, kindUint, kindTime, kindURL:
		if d.hits > hits {
			v.Set(target)
		}
	default:
		if !target.Elem().IsZero() {
			v.Set(target)
		}
	}
}

func (d *decoder) prefix(n *node, v reflect.Value) {
	ip, _ := d.get(n.parts[0])
	mask, _ := d.get(n.parts[1])
	switch {
	case ip == "" && mask == "":
		return
	case ip == "":
		d.fail(n.parts[1], d.key(n.parts[1]), errNoAddress)
		return
	case mask == "":
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
	for i, l := range n.parts {
		text, ok := d.get(l)
		if !ok {
			continue
		}
		switch part := v.Field(urlFields[i]); part.Kind() {
		case reflect.String:
			part.SetString(text)
		case reflect.Bool:
			if text != "true" && text != "false" {
				d.fail(l, d.key(l), errBool)
				continue
			}
			part.SetBool(text == "true")
		default:
			user, err := parseUser(text)
			if err != nil {
				d.fail(l, d.key(l), err)
				continue
			}
			part.Set(reflect.ValueOf(user))
		}
	}
}
