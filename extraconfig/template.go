package extraconfig

import "strings"

const (
	readOnlyPrefix  = "guestinfo.vice./"
	readWritePrefix = "guestinfo.vice.."
	hole            = "\x00" // stands for an entry's name or index while templates are made
)

// style says how an entry's name is written into a key.
type style uint8

const (
	asIs      style = iota
	slashes         // '.' becomes '/'
	dots            // '/' becomes '.'
	anIndex         // a list index: digits
	numStyles = iota
)

// template is a key with holes for the names and indexes of the entries on the way to it.
type template struct {
	literals []string // one more than there are holes
	styles   []style  // of the holes
	suffix   string   // modifiers, always at the end
	constant string   // the key of a template without holes
	bytes    []byte   // the same
	tail     string   // what follows the last hole
}

// draft is a template while it is made, level by level.
type draft struct {
	text   string // with holes
	styles []style
}

// join goes one level down, as the scope of the lower level has it.
func (d draft) join(scope Scope, name string) draft {
	body := strings.TrimPrefix(strings.TrimPrefix(d.text, readOnlyPrefix), readWritePrefix)
	next := draft{styles: append([]style(nil), d.styles...)}
	switch {
	case body == "":
		next.text = name
	case scope == ReadWrite:
		next.text = body + "." + name
	default:
		next.text = body + "/" + name
	}
	switch scope {
	case ReadOnly:
		next.text = readOnlyPrefix + strings.ReplaceAll(next.text, ".", "/")
		next.restyle(slashes)
	case ReadWrite:
		next.text = readWritePrefix + strings.ReplaceAll(next.text, "/", ".")
		next.restyle(dots)
	}
	return next
}

func (d *draft) restyle(s style) {
	for i, was := range d.styles {
		if was != anIndex {
			d.styles[i] = s
		}
	}
}

// entry goes to an entry of a map, or of a list.
func (d draft) entry(scope Scope, index bool) draft {
	s := asIs
	switch {
	case index:
		s = anIndex
	case scope == ReadOnly:
		s = slashes
	case scope == ReadWrite:
		s = dots
	}
	return draft{text: d.text + "|" + hole, styles: append(append([]style(nil), d.styles...), s)}
}

// append adds to the end of the key, before the modifiers.
func (d draft) append(text string) draft {
	return draft{text: d.text + text, styles: d.styles}
}

func (d draft) template(suffix string) template {
	t := template{literals: strings.Split(d.text, hole), styles: d.styles, suffix: suffix}
	t.tail = t.literals[len(t.styles)] + suffix
	if len(t.styles) == 0 {
		t.constant, t.bytes = t.tail, []byte(t.tail)
	}
	return t
}

// appendTo writes the key with names in its holes.
func (t *template) appendTo(b []byte, names []name) []byte {
	for i, s := range t.styles {
		b = append(b, t.literals[i]...)
		b = append(b, names[i][s]...)
	}
	return append(b, t.tail...)
}

// spells reports whether a key is the template with these names, and any indexes, in its holes.
func (t *template) spells(key string, names []string) bool {
	for i, s := range t.styles {
		rest, ok := strings.CutPrefix(key, t.literals[i])
		if !ok {
			return false
		}
		hole := rest[:digits(rest)]
		if s != anIndex {
			hole, names = nameOf(encodeName(names[0], classesOf(names[0])))[s], names[1:]
		}
		if key, ok = strings.CutPrefix(rest, hole); !ok || hole == "" {
			return false
		}
	}
	return key == t.tail
}

// text shows the template with * in its holes.
func (t *template) text() string { return strings.Join(t.literals, "*") + t.suffix }
