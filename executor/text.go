package executor

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest id or name, in bytes.
const MaxName = 128

// NamePattern is what ids and names match, as the API's specification writes it.
const NamePattern = `^[A-Za-z0-9][A-Za-z0-9_.-]*$`

const badName = "must begin with a letter or digit, go on with letters, digits, '_', '.' or '-', and have at most 128 bytes"

// ValidName reports whether s may be an id or a name: it matches NamePattern and is not longer than MaxName.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName {
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

// noValue is how an empty value travels to a VM, so no value may be it.
const noValue = "<nil>"

var errCannotTravel = errors.New("must be UTF-8 without control characters (tab, newline and carriage return may be), U+FFFE and U+FFFF, and not exactly <nil>")

// travels reports whether r survives the way into a VM: the channel is XML 1.0, which cannot
// carry most control characters and the last two code points of the basic plane.
func travels(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return true
	case 0xFFFE, 0xFFFF:
		return false
	}
	return !unicode.IsControl(r)
}

// checkText is nil when s can be the value of a key, and survives the way into a VM unchanged.
func checkText(s string) error {
	if s == noValue {
		return errCannotTravel
	}
	return checkRunes(s)
}

func checkRunes(s string) error {
	if !utf8.ValidString(s) {
		return errCannotTravel
	}
	for _, r := range s {
		if !travels(r) {
			return errCannotTravel
		}
	}
	return nil
}

// checkAnnotationKey is nil when key, with its control characters percent-encoded, can be part of a VM key.
func checkAnnotationKey(key string) error {
	return checkRunes(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return '%'
		}
		return r
	}, key))
}
