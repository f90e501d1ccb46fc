package store

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// change is a field that has another value.
type change struct {
	path string
	next reflect.Value // invalid when it is gone
}

// text is the new value as a person would write it.
func (c change) text() string {
	if !c.next.IsValid() {
		return ""
	}
	switch v := c.next.Interface().(type) {
	case string:
		return v
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
}

// diff gives the fields in which two configurations differ, in order. Lists and addresses are one field; an entry
// that only one has is one.
func diff(old, next *executor.ExecutorConfig) []change {
	var changes []change
	compare("", reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem(), &changes)
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	return changes
}

var textType = reflect.TypeFor[encoding.TextMarshaler]()

func compare(path string, old, next reflect.Value, changes *[]change) {
	switch {
	case old.Kind() == reflect.Pointer && !old.IsNil() && !next.IsNil():
		compare(path, old.Elem(), next.Elem(), changes)
	case old.Kind() == reflect.Struct && !old.Type().Implements(textType) && old.Type().NumField() > 0 && old.Type().Field(0).IsExported():
		for i := range old.NumField() {
			f := old.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			compare(executor.Path(path, name), old.Field(i), next.Field(i), changes)
		}
	case old.Kind() == reflect.Map:
		compareEntries(path, old, next, changes)
	case !reflect.DeepEqual(old.Interface(), next.Interface()):
		*changes = append(*changes, change{path, next})
	}
}

func compareEntries(path string, old, next reflect.Value, changes *[]change) {
	for _, key := range old.MapKeys() {
		field := executor.Path(path, key.String())
		if entry := next.MapIndex(key); entry.IsValid() {
			compare(field, old.MapIndex(key), entry, changes)
		} else {
			*changes = append(*changes, change{path: field})
		}
	}
	for _, key := range next.MapKeys() {
		if !old.MapIndex(key).IsValid() {
			*changes = append(*changes, change{executor.Path(path, key.String()), next.MapIndex(key)})
		}
	}
}
