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
	asIs     style = iota
	slashes        // '.' becomes '/'
	dots           // '/' becomes '.'
	anIndex        // a list index: digits
	numStyle = 3   // styles that names have
)

// template is a key with holes for the names and indexes of the entries on the way to it.
type template struct {
	literals []string // one more than there are holes
	styles   []style  // of the holes
	suffix   string   // modifiers, always at the end
	constant string   // the key of a template without holes
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
	if len(t.styles) == 0 {
		t.constant = d.text + suffix
	}
	return t
}

// name is an entry's name or index in each style.
type name [numStyle]string

func nameOf(s string) name {
	n := name{s, s, s}
	if strings.Contains(s, ".") {
		n[slashes] = strings.ReplaceAll(s, ".", "/")
	}
	if strings.Contains(s, "/") {
		n[dots] = strings.ReplaceAll(s, "/", ".")
	}
	return n
}

// appendTo writes the key with names in its holes.
func (t *template) appendTo(b []byte, names []name) []byte {
	b = append(b, t.literals[0]...)
	for i, s := range t.styles {
		if s == anIndex {
			s = asIs
		}
		b = append(b, names[i][s]...)
		b = append(b, t.literals[i+1]...)
	}
	return append(b, t.suffix...)
}

// text shows the template with * in its holes.
func (t *template) text() string { return strings.Join(t.literals, "*") + t.suffix }

// A map key may hold what separates keys; it is percent-encoded, upper-case, in the key and in the index.
func encodeName(s string) string {
	n := 0
	for i := range len(s) {
		if mustEncode(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEncode(c) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEncode(c byte) bool {
	return c <= 0x20 || c == 0x7F || c == '|' || c == '@' || c == '%'
}

// decodeName undoes encodeName. A percent sign that encodes nothing stays: older writers did not encode.
func decodeName(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if c := hi<<4 | lo; hi < 16 && lo < 16 && mustEncode(c) {
				b = append(b, c)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// maxName is the length of the longest name that is not free, in bytes.
const maxName = 128

// validName holds for the entries of maps of structs: their names are the API's ids and names. Only
// the entries of maps of plain values have names that are free.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}
