// Package extraconfig is the codec between tagged Go structs and the flat key/value sets that
// VMs hold, in the format of vSphere Integrated Containers' package of the same name.
//
// A field's tags say where it lives and who may see it: `vic:"0.1" scope:"read-only" key:"name"`.
// The package is pure: no I/O, no logging, no state but what a Codec was compiled to. It imports
// the standard library and x/crypto, and anything may import it.
package extraconfig

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Scope says who may see and change a field inside a VM.
type Scope uint8

const (
	Hidden    Scope = iota + 1 // no guest ever sees it
	ReadOnly                   // guests read it, only the control plane changes it
	ReadWrite                  // guests read and change it
)

var scopeWords = [...]string{Hidden: "hidden", ReadOnly: "read-only", ReadWrite: "read-write"}

// String is the word that tags and the API use.
func (s Scope) String() string {
	if int(s) < len(scopeWords) && scopeWords[s] != "" {
		return scopeWords[s]
	}
	return fmt.Sprintf("scope(%d)", uint8(s))
}

// GuestVisible reports whether a guest can read keys of this scope.
func (s Scope) GuestVisible() bool { return s == ReadOnly || s == ReadWrite }

// Codec encodes values of type T and decodes them. It is compiled once and safe for concurrent use.
type Codec[T any] struct {
	root    *node
	leaves  []*leaf
	program []step
	parts   map[string][]step // the program of each part, by path
	match   *matcher
	schema  []Field
	scratch sync.Pool // *encoder; holds memory between calls and nothing else
}

// New compiles a codec for T, a struct. What the tags get wrong (an unknown scope word, hidden with
// non-persistent, two fields with one key, a type that has no encoding) is an error that names the field.
func New[T any]() (*Codec[T], error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("extraconfig: %s is not a struct", t)
	}
	comp := &compiler{}
	root, err := comp.compile(t)
	if err != nil {
		return nil, fmt.Errorf("extraconfig: %s: %w", t, err)
	}
	leaves := comp.leaves
	for i, l := range leaves {
		l.id, l.all = uint32(i), leaves
	}
	match, err := newMatcher(leaves)
	if err != nil {
		return nil, fmt.Errorf("extraconfig: %s: %w", t, err)
	}
	program, parts := assemble(leaves)
	c := &Codec[T]{root: root, leaves: leaves, program: program, parts: parts, match: match, schema: comp.schema}
	c.scratch.New = func() any { return &encoder{entries: make([][]entry, comp.maps)} }
	return c, nil
}

// Option is a choice for one call.
type Option func(*options)

type options struct{ secretKey []byte }

// WithSecretKey gives the key that secret values are sealed and opened with: 32 bytes, the executor's own.
func WithSecretKey(key []byte) Option { return func(o *options) { o.secretKey = key } }

func optionsOf(opts []Option) (options, error) {
	if len(opts) == 0 {
		return options{}, nil
	}
	o := new(options)
	for _, f := range opts {
		f(o)
	}
	if n := len(o.secretKey); n != 0 && n != secretKeySize {
		return options{}, fmt.Errorf("extraconfig: a secret key has %d bytes, not %d", secretKeySize, n)
	}
	return *o, nil
}

// noValue stands for an empty value where an empty one would mean: delete the key.
const noValue = "<nil>"

// Escape gives value as it travels on a channel that a guest reads: an empty one as <nil>.
func Escape(value string) string {
	if value == "" {
		return noValue
	}
	return value
}

// Unescape undoes Escape.
func Unescape(value string) string {
	if value == noValue {
		return ""
	}
	return value
}

// Error is a key or field that cannot be encoded or decoded. It shows no value.
type Error struct {
	Field  string // dotted path: sessions.web.exitStatus
	Key    string // the key, where one is concerned
	Reason string
}

func (e *Error) Error() string {
	switch {
	case e.Key == "":
		return e.Field + ": " + e.Reason
	case e.Field == "":
		return e.Key + ": " + e.Reason
	}
	return e.Field + " (" + e.Key + "): " + e.Reason
}

// Errors are all that could not be decoded; what is not named was.
type Errors []*Error

func (e Errors) Error() string {
	var b strings.Builder
	for i, x := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(x.Error())
	}
	return b.String()
}

func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
