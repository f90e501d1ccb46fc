package extraconfig

import (
	"reflect"
	"slices"
)

// DecodeReports reads read-write fields of a key set that a guest may have written onto dst: those that want holds for.
// Nothing else of dst is touched, entries that dst lacks are not made, and a field without any key keeps its value. It
// answers the fields whose values changed; the error is Errors and names those that did not parse, which keep their values too.
func (c *Codec[T]) DecodeReports(dst *T, keys map[string]string, want func(field string) bool, opts ...Option) (changed []string, err error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	r := &reporter{decoder: decoder{keys: keys, spellings: c.match.spellings(keys), secretKey: o.secretKey}, want: want}
	r.walk(c.root, reflect.ValueOf(dst).Elem())
	slices.Sort(r.changed)
	return r.changed, r.errs.err()
}

// reporter walks the read-write fields of a value.
type reporter struct {
	decoder
	want    func(field string) bool
	changed []string
}

func (r *reporter) walk(n *node, v reflect.Value) {
	if !n.report {
		return
	}
	switch n.kind {
	case kindStruct:
		for _, f := range n.fields {
			r.walk(f, v.Field(f.index))
		}
	case kindPointer:
		if !v.IsNil() {
			r.walk(n.elem, v.Elem())
		}
	case kindMap:
		r.walkEntries(n, v)
	default:
		if n.place.scope == ReadWrite {
			r.field(n, v)
		}
	}
}

// walkEntries goes to the entries that are there, by name and not by index.
func (r *reporter) walkEntries(n *node, v reflect.Value) {
	path := r.path
	defer func() { r.path = path }()
	for _, key := range v.MapKeys() {
		r.path = key.String()
		if path != "" {
			r.path = path + hole + r.path
		}
		r.names = append(r.names, nameOf(encodeName(key.String(), classesOf(key.String()))))
		entry := v.MapIndex(key)
		if entry.Kind() == reflect.Pointer {
			r.walk(n.elem, entry)
		} else {
			own := reflect.New(entry.Type()).Elem()
			own.Set(entry)
			r.walk(n.elem, own)
			v.SetMapIndex(key, own)
		}
		r.names = r.names[:len(r.names)-1]
	}
}

// field reads one field, whole or not at all.
func (r *reporter) field(n *node, v reflect.Value) {
	field := fill(n.place.path, r.path)
	if !r.want(field) {
		return
	}
	r.hits, r.failed = 0, false
	read := reflect.New(n.typ).Elem()
	r.value(n, read)
	if r.hits == 0 || r.failed || reflect.DeepEqual(read.Interface(), v.Interface()) {
		return
	}
	v.Set(read)
	r.changed = append(r.changed, field)
}

// CopyReports copies the read-write fields of src onto dst, for map entries that both have. What they refer to is shared.
func (c *Codec[T]) CopyReports(dst, src *T) {
	copyReports(c.root, reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem())
}

func copyReports(n *node, dst, src reflect.Value) {
	if !n.report {
		return
	}
	switch n.kind {
	case kindStruct:
		for _, f := range n.fields {
			copyReports(f, dst.Field(f.index), src.Field(f.index))
		}
	case kindPointer:
		if !dst.IsNil() && !src.IsNil() {
			copyReports(n.elem, dst.Elem(), src.Elem())
		}
	case kindMap:
		for _, key := range dst.MapKeys() {
			copyEntry(n, dst, src, key)
		}
	default:
		if n.place.scope == ReadWrite {
			dst.Set(src)
		}
	}
}

func copyEntry(n *node, dst, src, key reflect.Value) {
	from, to := src.MapIndex(key), dst.MapIndex(key)
	switch {
	case !from.IsValid():
	case to.Kind() == reflect.Pointer:
		copyReports(n.elem, to, from)
	default:
		own := reflect.New(to.Type()).Elem()
		own.Set(to)
		copyReports(n.elem, own, from)
		dst.SetMapIndex(key, own)
	}
}
