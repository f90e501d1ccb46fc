package extraconfig

import (
	"strconv"
	"strings"
)

// name is an entry's name, or its index, in each style.
type name [numStyles]string

func nameOf(s string) name {
	n := name{asIs: s, slashes: s, dots: s}
	if strings.Contains(s, ".") {
		n[slashes] = strings.ReplaceAll(s, ".", "/")
	}
	if strings.Contains(s, "/") {
		n[dots] = strings.ReplaceAll(s, "/", ".")
	}
	return n
}

func indexName(i int) name { return name{anIndex: strconv.Itoa(i)} }

// class is what a byte of a name is, or all that the bytes of a name are.
type class uint8

const (
	letterOrDigit class = 1 << iota
	upperCase
	joining // names of the API go on with it
	encoded // percent-encoded in keys: it separates there, or does not travel
	other
)

var classes = func() (table [256]class) {
	for i := range table {
		switch c := byte(i); {
		case 'A' <= c && c <= 'Z':
			table[i] = letterOrDigit | upperCase
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			table[i] = letterOrDigit
		case c == '_' || c == '.' || c == '-':
			table[i] = joining
		case c <= 0x20 || c == 0x7F || c == '|' || c == '@' || c == '%':
			table[i] = encoded
		default:
			table[i] = other
		}
	}
	return table
}()

func classesOf(s string) (all class) {
	for i := range len(s) {
		all |= classes[s[i]]
	}
	return all
}

// maxName is the length of the longest name that is not free, in bytes.
const maxName = 128

// validName holds for the entries of maps of structs: their names are the API's ids and names. Only
// the entries of maps of plain values have names that are free.
func validName(s string) bool { return validNameOf(s, classesOf(s)) }

func validNameOf(s string, all class) bool {
	return s != "" && len(s) <= maxName && classes[s[0]]&letterOrDigit != 0 && all&(encoded|other) == 0
}

// encodeName percent-encodes, upper-case, what a name that is free may not have in a key nor in the index.
func encodeName(s string, all class) string {
	if all&encoded == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		if c := s[i]; classes[c] == encoded {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
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
			if c := hi<<4 | lo; hi < 16 && lo < 16 && classes[c] == encoded {
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
