package extraconfig

import (
	"bytes"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// begin starts a pair: its key. What is appended to the text until end is called is its value.
func (e *encoder) begin(l *leaf) {
	r := ref{leaf: l.id, entry: e.path, key: offset(len(e.text))}
	if l.key.constant == "" {
		e.text = append(append(e.text, e.head...), l.key.tail...)
	}
	r.value = offset(len(e.text))
	e.refs = append(e.refs, r)
	if e.turned {
		e.compare(l)
	}
}

// compare looks whether the last two keys are in order. A program is; where its loops turn, names and indexes decide.
func (e *encoder) compare(l *leaf) {
	e.turned = false
	if i := len(e.refs) - 1; i > 0 {
		e.unsorted = e.unsorted || bytes.Compare(e.key(l.all, i-1), e.key(l.all, i)) >= 0
	}
}

func (e *encoder) key(leaves []*leaf, i int) []byte {
	r := &e.refs[i]
	if r.key == r.value {
		return leaves[r.leaf].key.bytes
	}
	return e.text[r.key:r.value]
}

// end ends the pair that was begun.
func (e *encoder) end(l *leaf) {
	r := &e.refs[len(e.refs)-1]
	if l.secret {
		e.seal(l, r)
	}
	r.end = offset(len(e.text))
}

// seal puts the sealed value in place of the plain one.
func (e *encoder) seal(l *leaf, r *ref) {
	key, plain := string(e.key(l.all, len(e.refs)-1)), string(e.text[r.value:])
	if e.secretKey == nil {
		e.fail(l.path, key, "is secret, and there is no key to seal it with")
		return
	}
	e.text = append(e.text[:r.value], seal(e.secretKey, key, plain)...)
}

// pair writes a pair whose value is there already.
func (e *encoder) pair(l *leaf, value string) {
	e.begin(l)
	e.text = append(e.text, value...)
	e.end(l)
}

// writer finds what writes the pairs of a leaf.
func writer(l *leaf) func(*encoder, *leaf, reflect.Value) {
	switch l.part {
	case partLength:
		return (*encoder).writeLength
	case partJoined:
		if l.node.kind == kindInts {
			return (*encoder).writeInts
		}
		return (*encoder).writeStrings
	case partIndex:
		return (*encoder).writeIndex
	case partIP, partMask:
		return (*encoder).writePrefix
	case partValue:
		return valueWriters[l.node.kind]
	}
	return (*encoder).writeURL
}

var valueWriters = [...]func(*encoder, *leaf, reflect.Value){
	kindString: func(e *encoder, l *leaf, v reflect.Value) { e.pair(l, v.String()) },
	kindBool:   func(e *encoder, l *leaf, v reflect.Value) { e.pair(l, boolText(v.Bool())) },
	kindInt:    func(e *encoder, l *leaf, v reflect.Value) { e.writeInt(l, v.Int()) },
	kindUint: func(e *encoder, l *leaf, v reflect.Value) {
		e.begin(l)
		e.text = strconv.AppendUint(e.text, v.Uint(), 10)
		e.end(l)
	},
	kindBytes: func(e *encoder, l *leaf, v reflect.Value) {
		if v.Len() > 0 {
			e.begin(l)
			e.text = base64Text.AppendEncode(e.text, v.Bytes())
			e.end(l)
		}
	},
	kindAddr: func(e *encoder, l *leaf, v reflect.Value) {
		if a := v.Addr().Interface().(*netip.Addr); a.IsValid() {
			e.writeAddr(l, *a)
		}
	},
	kindTime: func(e *encoder, l *leaf, v reflect.Value) {
		e.writeTime(l, v.Addr().Interface().(*time.Time).UTC())
	},
}

func (e *encoder) writeLength(l *leaf, v reflect.Value) {
	if n := v.Len(); n > 0 {
		e.writeInt(l, int64(n-1))
	}
}

func (e *encoder) writeInt(l *leaf, i int64) {
	if 0 <= i && i < 10 {
		e.pair(l, "0123456789"[i:i+1])
		return
	}
	e.begin(l)
	e.text = strconv.AppendInt(e.text, i, 10)
	e.end(l)
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func (e *encoder) writeTime(l *leaf, t time.Time) {
	if !encodableYear(t) {
		e.fail(l.path, "", "is not in the years 0 to 9999, and has no encoding")
		return
	}
	e.begin(l)
	e.text = appendTime(e.text, t)
	e.end(l)
}

// writeAddr writes an address, whatever its part. Of one that is IPv4-mapped or has a zone, the guest would read another.
func (e *encoder) writeAddr(l *leaf, a netip.Addr) {
	if a.Is4In6() || a.Zone() != "" {
		e.fail(l.path, "", "is an address that is IPv4-mapped or has a zone, which has no encoding")
		return
	}
	e.begin(l)
	e.text = appendAddr(e.text, a)
	e.end(l)
}

func (e *encoder) writePrefix(l *leaf, v reflect.Value) {
	p := v.Addr().Interface().(*netip.Prefix)
	switch {
	case !p.IsValid():
	case l.part == partIP:
		e.writeAddr(l, p.Addr())
	default:
		e.begin(l)
		e.text = appendMask(e.text, *p)
		e.end(l)
	}
}

// writeIndex writes the names of a map's entries, sorted as they stand in keys.
func (e *encoder) writeIndex(l *leaf, v reflect.Value) {
	list := e.sorted(l.node, v)
	switch len(list) {
	case 0:
		return
	case 1:
		e.pair(l, list[0].name[asIs])
		return
	}
	byName := func(a, b entry) int { return strings.Compare(a.name[asIs], b.name[asIs]) }
	if !slices.IsSortedFunc(list, byName) { // one name begins another: the order of the keys is not that of the names
		list = slices.SortedFunc(slices.Values(list), byName)
	}
	e.begin(l)
	for i := range list {
		if i > 0 {
			e.text = append(e.text, '|')
		}
		e.text = append(e.text, list[i].name[asIs]...)
	}
	e.end(l)
}

// writeStrings writes a list in one value, and each element by itself when one contains the separator.
func (e *encoder) writeStrings(l *leaf, v reflect.Value) {
	n := v.Len()
	if n == 0 {
		return
	}
	bars := false
	e.begin(l)
	for i := range n {
		if i > 0 {
			e.text = append(e.text, '|')
		}
		value := v.Index(i).String()
		bars = bars || strings.Contains(value, "|")
		e.text = append(e.text, value...)
	}
	e.end(l)
	if !bars {
		return
	}
	element, outer := l.node.parts[1], len(e.head)
	for i := range n {
		e.enterIndex(outer, element.key.literals[e.depth], i)
		e.pair(element, v.Index(i).String())
	}
	e.leave(outer)
}

func (e *encoder) writeInts(l *leaf, v reflect.Value) {
	n := v.Len()
	if n == 0 {
		return
	}
	e.begin(l)
	for i := range n {
		if i > 0 {
			e.text = append(e.text, '|')
		}
		if x := v.Index(i); x.CanInt() {
			e.text = strconv.AppendInt(e.text, x.Int(), 10)
		} else {
			e.text = strconv.AppendUint(e.text, x.Uint(), 10)
		}
	}
	e.end(l)
}

// writeURL writes a part of a URL.
func (e *encoder) writeURL(l *leaf, v reflect.Value) {
	part := v.Field(urlFields[l.part-partURL])
	switch part.Kind() {
	case reflect.String:
		e.pair(l, part.String())
	case reflect.Bool:
		e.pair(l, boolText(part.Bool()))
	default:
		if user := part.Interface().(*url.Userinfo); user != nil {
			e.pair(l, user.String())
		}
	}
}
