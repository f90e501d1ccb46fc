package extraconfig

import (
	"encoding"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"time"
)

// kind is how a type is encoded.
type kind uint8

const (
	kindString kind = iota // up to kindTime: one key
	kindBool
	kindInt
	kindUint
	kindBytes
	kindAddr
	kindTime
	kindPrefix  // two keys
	kindURL     // eight keys, and a secret one for credentials
	kindStrings // length and joined elements
	kindInts    // as kindStrings
	kindList    // length and each element
	kindMap     // index and each entry
	kindPointer // nothing, or what it points to
	kindStruct  // its fields
)

var kindNames = [...]string{
	kindString: "string", kindBool: "bool", kindInt: "int", kindUint: "int", kindBytes: "bytes", kindAddr: "address", kindTime: "time",
	kindPrefix: "CIDR", kindURL: "URL", kindStrings: "list of strings", kindInts: "list of ints", kindList: "list", kindMap: "map",
}

var (
	typeURL    = reflect.TypeFor[url.URL]()
	typeAddr   = reflect.TypeFor[netip.Addr]()
	typePrefix = reflect.TypeFor[netip.Prefix]()
	typeTime   = reflect.TypeFor[time.Time]()
	typeText   = reflect.TypeFor[encoding.TextMarshaler]()
	typeValid  = reflect.TypeFor[interface{ Valid() bool }]()
)

// urlParts are the parts of a URL that have a key each.
var urlParts = [...]string{"Scheme", "Opaque", "Host", "Path", "RawPath", "ForceQuery", "RawQuery", "Fragment", "User"}

// urlFields are the indexes of those parts in a url.URL.
var urlFields = func() (fields [len(urlParts)]int) {
	for i, name := range urlParts {
		f, _ := typeURL.FieldByName(name)
		fields[i] = f.Index[0]
	}
	return fields
}()

// kindOf finds how a type is encoded.
func kindOf(t reflect.Type) (kind, error) {
	switch {
	case t == typeAddr:
		return kindAddr, nil
	case t == typePrefix:
		return kindPrefix, nil
	case t == typeTime:
		return kindTime, nil
	case t.Kind() == reflect.Struct && t.ConvertibleTo(typeURL):
		return kindURL, nil
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, nil
	case reflect.Bool:
		return kindBool, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return kindUint, nil
	case reflect.Struct:
		if opaque(t) {
			return 0, fmt.Errorf("%s has no encoding", t)
		}
		return kindStruct, nil
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			return 0, fmt.Errorf("%s has no encoding", t)
		}
		switch k, err := kindOf(t.Elem()); {
		case err != nil:
			return 0, err
		case k == kindMap: // an empty one could not be told from none
			return 0, fmt.Errorf("%s has no encoding", t)
		}
		return kindPointer, nil
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return kindMap, nil
		}
	case reflect.Slice:
		return sliceKind(t)
	}
	return 0, fmt.Errorf("%s has no encoding", t)
}

func sliceKind(t reflect.Type) (kind, error) {
	elem := t.Elem()
	switch elem.Kind() {
	case reflect.Uint8:
		return kindBytes, nil
	case reflect.Slice, reflect.Pointer: // types that contain themselves end here
		return 0, fmt.Errorf("%s has no encoding", t)
	}
	switch k, err := kindOf(elem); {
	case err != nil:
		return 0, err
	case k == kindString:
		return kindStrings, nil
	case k == kindInt || k == kindUint:
		return kindInts, nil
	case k == kindStruct || k == kindAddr || k == kindPrefix:
		return kindList, nil
	}
	return 0, fmt.Errorf("%s has no encoding", t)
}

// opaque reports whether a struct is nothing but state of its package, such as big.Int: it has no encoding.
func opaque(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			return false
		}
	}
	return t.NumField() > 0
}
