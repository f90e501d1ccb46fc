package simulator

import (
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// extraConfig is the property that holds a VM's keys. What it lists is replaced, never changed in
// place, so that it can be read while others change it.
const extraConfig = "config.extraConfig"

var typeNamed = types.TypeFunc()

// managed gives the managed object of the vSphere API that is inside one of the simulator's objects.
func managed(object mo.Reference) reflect.Value {
	v := reflect.ValueOf(object)
	for {
		if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
			continue
		}
		if v.Kind() != reflect.Struct || v.NumField() == 0 {
			return reflect.Value{}
		}
		if path.Base(v.Type().PkgPath()) == "mo" {
			return v
		}
		v = v.Field(0)
	}
}

// isKind reports whether a managed object is of a kind: its own or one that it inherits from.
func isKind(t reflect.Type, ref types.ManagedObjectReference, kind string) bool {
	if kind == ref.Type || kind == t.Name() {
		return true
	}
	f, ok := t.FieldByName(kind)
	return ok && f.Anonymous
}

type fieldKey struct {
	t    reflect.Type
	name string
}

var fields sync.Map // fieldKey to []int, nil where there is no such field

func fieldOf(t reflect.Type, name string) []int {
	key := fieldKey{t, name}
	if index, ok := fields.Load(key); ok {
		return index.([]int)
	}
	var index []int
	if name != "" {
		if f, ok := t.FieldByName(strings.ToUpper(name[:1]) + name[1:]); ok {
			index = f.Index
		}
	}
	fields.Store(key, index)
	return index
}

// read gives the property at a path, nil when it is not set. known is whether there can be such a
// property. The value shares nothing with the object that changes later.
func read(object reflect.Value, at string) (val types.AnyType, known bool) {
	var field mo.Field
	if !field.FromString(at) {
		return nil, false
	}
	v, known := walk(object, field.Path)
	if !known || !v.IsValid() || field.Key == nil {
		return value(v, field.Path == extraConfig), known
	}
	if name, ok := field.Key.(string); ok && field.Path == extraConfig && field.Item != "" && fold(name) == ovfEnv {
		return nil, true
	}
	v, known = element(v, field.Key)
	if known && v.IsValid() && field.Item != "" {
		v, known = walk(v, field.Item)
	}
	return value(v, false), known
}

func walk(v reflect.Value, at string) (reflect.Value, bool) {
	for name := range strings.SplitSeq(at, ".") {
		v = follow(v)
		if !v.IsValid() {
			return v, true
		}
		if v.Kind() != reflect.Struct {
			return v, false
		}
		index := fieldOf(v.Type(), name)
		if index == nil {
			return v, false
		}
		v = v.FieldByIndex(index)
	}
	return v, true
}

func follow(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// element gives the element of a list that has that key.
func element(list reflect.Value, key any) (reflect.Value, bool) {
	if list.Kind() != reflect.Slice {
		return list, false
	}
	for i := range list.Len() {
		e := follow(list.Index(i))
		if e.Kind() != reflect.Struct {
			return e, false
		}
		f := e.FieldByName("Key")
		if !f.IsValid() {
			return e, false
		}
		if f.Interface() == key {
			return e, true
		}
	}
	return reflect.Value{}, true
}

// value is how a property travels: a list as the ArrayOf type of its elements.
func value(v reflect.Value, shared bool) types.AnyType {
	v = follow(v)
	if !v.IsValid() || v.Kind() == reflect.String && v.Len() == 0 {
		return nil
	}
	if shared {
		v = reflect.ValueOf(shownList(v.Interface().([]types.BaseOptionValue)))
	} else {
		v = clone(v)
	}
	if v.Kind() != reflect.Slice {
		return v.Interface()
	}
	name := map[reflect.Kind]string{reflect.Uint8: "Byte", reflect.Int16: "Short", reflect.Int32: "Int", reflect.Int64: "Long"}[v.Type().Elem().Kind()]
	switch elem := v.Type().Elem(); {
	case name != "":
	case elem == reflect.TypeFor[string]():
		name = "String"
	case elem.Kind() == reflect.Interface:
		name = strings.TrimPrefix(elem.Name(), "Base")
	default:
		name = elem.Name()
	}
	t, ok := typeNamed("ArrayOf" + name)
	if !ok {
		return nil
	}
	array := reflect.New(t)
	array.Elem().Field(0).Set(v.Convert(array.Elem().Field(0).Type()))
	return array.Interface()
}

// clone copies all that can be reached from a value of the vSphere API, as the API shows it.
func clone(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		n := reflect.New(v.Type().Elem())
		n.Elem().Set(clone(v.Elem()))
		return n
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		n := reflect.New(v.Type()).Elem()
		n.Set(clone(v.Elem()))
		return n
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		n := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			n.Index(i).Set(clone(v.Index(i)))
		}
		return n
	case reflect.Struct:
		if v.Type() == optionType {
			return reflect.ValueOf(shown(v.Interface().(types.OptionValue)))
		}
		n := reflect.New(v.Type()).Elem()
		n.Set(v)
		for i := range n.NumField() {
			if f := n.Field(i); f.CanSet() { // all but the insides of a time
				f.Set(clone(v.Field(i)))
			}
		}
		return n
	}
	return v
}

// readAll gives every property of an object that is set.
func readAll(object reflect.Value) []types.DynamicProperty {
	var all []types.DynamicProperty
	for i := range object.NumField() {
		f := object.Type().Field(i)
		if f.Anonymous {
			all = append(all, readAll(object.Field(i))...)
			continue
		}
		if f.Name == "Self" {
			continue
		}
		if val := value(object.Field(i), false); val != nil {
			all = append(all, types.DynamicProperty{Name: strings.ToLower(f.Name[:1]) + f.Name[1:], Val: val})
		}
	}
	return all
}

// related reports whether a change of one path changes what is at the other.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.' || b[len(a)] == '[')
}
