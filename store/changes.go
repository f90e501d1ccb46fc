package store

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// change is a field that has another value.
type change struct {
	path  string
	field string        // the path with * for the names of entries, as a codec's Field has it
	next  reflect.Value // invalid when it is gone
}

// text is the new value as a document has it: nothing when it has none, such as for a time that is not yet.
func (c change) text() string {
	if !c.next.IsValid() || c.next.IsZero() && c.next.Type().Implements(textType) {
		return ""
	}
	if c.next.Kind() == reflect.Slice && c.next.Len() == 0 {
		return "[]"
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
	compare(place{}, reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem(), &changes)
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	return changes
}

// described gives the paths of changes, and the new values of read-write fields that are no secret.
func (s *Store) described(changes []change) (paths []string, values map[string]string) {
	for _, c := range changes {
		paths = append(paths, c.path)
		if s.reports[c.field] {
			if values == nil {
				values = map[string]string{}
			}
			values[c.path] = c.text()
		}
	}
	return paths, values
}

// reportFields gives the read-write fields of executors that are no secret. A list is one field, and so is what it holds.
func reportFields(fields []extraconfig.Field) map[string]bool {
	reports := map[string]bool{}
	for _, f := range fields {
		if f.Scope == extraconfig.ReadWrite && !f.Secret && !strings.Contains(f.Path, "[]") {
			reports[f.Path] = true
		}
	}
	return reports
}

// place is where in two documents their fields are compared.
type place struct{ path, field string }

func (p place) entry(name string) place {
	return place{executor.Path(p.path, name), executor.Path(p.field, "*")}
}

func (p place) step(name string) place {
	return place{executor.Path(p.path, name), executor.Path(p.field, name)}
}

var textType = reflect.TypeFor[encoding.TextMarshaler]()

func compare(at place, old, next reflect.Value, changes *[]change) {
	switch {
	case old.Kind() == reflect.Pointer && !old.IsNil() && !next.IsNil():
		compare(at, old.Elem(), next.Elem(), changes)
	case old.Kind() == reflect.Struct && !old.Type().Implements(textType):
		for i := range old.NumField() {
			name, _, _ := strings.Cut(old.Type().Field(i).Tag.Get("json"), ",")
			compare(at.step(name), old.Field(i), next.Field(i), changes)
		}
	case old.Kind() == reflect.Map:
		compareEntries(at, old, next, changes)
	case !reflect.DeepEqual(old.Interface(), next.Interface()):
		*changes = append(*changes, change{at.path, at.field, next})
	}
}

func compareEntries(at place, old, next reflect.Value, changes *[]change) {
	for _, key := range old.MapKeys() {
		here := at.entry(key.String())
		if entry := next.MapIndex(key); entry.IsValid() {
			compare(here, old.MapIndex(key), entry, changes)
		} else {
			*changes = append(*changes, change{path: here.path})
		}
	}
	for _, key := range next.MapKeys() {
		if !old.MapIndex(key).IsValid() {
			*changes = append(*changes, change{path: at.entry(key.String()).path, next: next.MapIndex(key)})
		}
	}
}
