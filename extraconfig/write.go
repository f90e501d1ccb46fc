package extraconfig

import (
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// begin starts a pair: its key. The pair is good until the next one begins.
func (e *encoder) begin(l *leaf) *Pair {
	var s span
	if l.key.constant == "" {
		s.keyAt = len(e.buf)
		e.buf = l.key.appendTo(e.buf, e.names)
		s.keyEnd = len(e.buf)
	}
	e.spans = append(e.spans, s)
	e.pairs = append(e.pairs, Pair{Key: l.key.constant, leaf: l, entry: e.path})
	return &e.pairs[len(e.pairs)-1]
}

// text writes a pair whose value is a string already.
func (e *encoder) text(l *leaf, value string) {
	p := e.begin(l)
	if l.secret {
		value = e.sealed(l, value)
	}
	p.Value = value
}

// end ends a pair whose value is what was put into the buffer from at on.
func (e *encoder) end(l *leaf, at int) {
	if l.secret {
		plain := string(e.buf[at:])
		e.buf = e.buf[:at]
		e.pairs[len(e.pairs)-1].Value = e.sealed(l, plain)
		return
	}
	if len(e.buf) > at {
		s := &e.spans[len(e.spans)-1]
		s.valueAt, s.valueEnd = at, len(e.buf)
	}
}

// sealed gives the value of the pair that was begun as it travels.
func (e *encoder) sealed(l *leaf, value string) string {
	key := l.key.constant
	if key == "" {
		s := &e.spans[len(e.spans)-1]
		key = string(e.buf[s.keyAt:s.keyEnd])
	}
	if e.secretKey == nil {
		e.fail(l.path, key, "is secret, and there is no key to seal it with")
		return ""
	}
	return seal(e.secretKey, key, value)
}

// write writes the pairs of a leaf.
func (e *encoder) write(l *leaf, v reflect.Value) {
	switch l.part {
	case partValue:
		e.writeValue(l, v)
	case partLength:
		if n := v.Len(); n > 0 {
			e.writeInt(l, int64(n-1))
		}
	case partJoined:
		if v.Len() > 0 {
			e.writeJoined(l, v)
		}
	case partIndex:
		if v.Len() > 0 {
			e.writeIndex(l, v)
		}
	case partIP, partMask:
		if p := v.Addr().Interface().(*netip.Prefix); p.IsValid() {
			e.writePrefix(l, *p)
		}
	default:
		e.writeURL(l, v)
	}
}

func (e *encoder) writeValue(l *leaf, v reflect.Value) {
	switch l.node.kind {
	case kindString:
		e.text(l, v.String())
	case kindBool:
		e.text(l, boolText(v.Bool()))
	case kindInt:
		e.writeInt(l, v.Int())
	case kindUint:
		e.begin(l)
		at := len(e.buf)
		e.buf = strconv.AppendUint(e.buf, v.Uint(), 10)
		e.end(l, at)
	case kindBytes:
		if v.Len() > 0 {
			e.begin(l)
			at := len(e.buf)
			e.buf = base64Text.AppendEncode(e.buf, v.Bytes())
			e.end(l, at)
		}
	case kindAddr:
		if a := v.Addr().Interface().(*netip.Addr); a.IsValid() {
			e.writeAddr(l, *a)
		}
	case kindTime:
		e.writeTime(l, v.Addr().Interface().(*time.Time).UTC())
	}
}

func (e *encoder) writeInt(l *leaf, i int64) {
	if 0 <= i && i < 10 {
		e.text(l, "0123456789"[i:i+1])
		return
	}
	e.begin(l)
	at := len(e.buf)
	e.buf = strconv.AppendInt(e.buf, i, 10)
	e.end(l, at)
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
	at := len(e.buf)
	e.buf = t.AppendFormat(e.buf, timeLayout)
	e.end(l, at)
}

// writeAddr writes an address, whatever its part. Of one that is IPv4-mapped or has a zone, the guest would read another.
func (e *encoder) writeAddr(l *leaf, a netip.Addr) {
	if a.Is4In6() || a.Zone() != "" {
		e.fail(l.path, "", "is an address that is IPv4-mapped or has a zone, which has no encoding")
		return
	}
	e.begin(l)
	at := len(e.buf)
	e.buf = appendAddr(e.buf, a)
	e.end(l, at)
}

func (e *encoder) writePrefix(l *leaf, p netip.Prefix) {
	if l.part == partIP {
		e.writeAddr(l, p.Addr())
		return
	}
	e.begin(l)
	at := len(e.buf)
	e.buf = appendMask(e.buf, p)
	e.end(l, at)
}

// writeIndex writes the names of a map's entries, sorted as they stand in keys.
func (e *encoder) writeIndex(l *leaf, v reflect.Value) {
	list := e.sorted(l.node, v)
	if len(list) == 1 {
		e.text(l, list[0].name[asIs])
		return
	}
	byName := func(a, b entry) int { return strings.Compare(a.name[asIs], b.name[asIs]) }
	if !slices.IsSortedFunc(list, byName) { // one name begins another: the order of the keys is not that of the names
		list = slices.SortedFunc(slices.Values(list), byName)
	}
	e.begin(l)
	at := len(e.buf)
	for i := range list {
		if i > 0 {
			e.buf = append(e.buf, '|')
		}
		e.buf = append(e.buf, list[i].name[asIs]...)
	}
	e.end(l, at)
}

// writeJoined writes a list of plain values in one value, and each by itself when one contains the separator.
func (e *encoder) writeJoined(l *leaf, v reflect.Value) {
	n := v.Len()
	if l.node.kind == kindInts {
		e.writeInts(l, v)
		return
	}
	bars := false
	if n == 1 {
		value := v.Index(0).String()
		bars = strings.Contains(value, "|")
		e.text(l, value)
	} else {
		e.begin(l)
		at := len(e.buf)
		for i := range n {
			if i > 0 {
				e.buf = append(e.buf, '|')
			}
			value := v.Index(i).String()
			bars = bars || strings.Contains(value, "|")
			e.buf = append(e.buf, value...)
		}
		e.end(l, at)
	}
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

func (e *encoder) writeInts(l *leaf, v reflect.Value) {
	e.begin(l)
	at := len(e.buf)
	for i := range v.Len() {
		if i > 0 {
			e.buf = append(e.buf, '|')
		}
		if x := v.Index(i); x.CanInt() {
			e.buf = strconv.AppendInt(e.buf, x.Int(), 10)
		} else {
			e.buf = strconv.AppendUint(e.buf, x.Uint(), 10)
		}
	}
	e.end(l, at)
}

// writeURL writes a part of a URL.
func (e *encoder) writeURL(l *leaf, v reflect.Value) {
	part := v.Field(urlFields[l.part-partURL])
	switch part.Kind() {
	case reflect.String:
		e.text(l, part.String())
	case reflect.Bool:
		e.text(l, boolText(part.Bool()))
	default:
		if user := part.Interface().(*url.Userinfo); user != nil {
			e.text(l, user.String())
		}
	}
}
