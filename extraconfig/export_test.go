package extraconfig

import "reflect"

// Templates compiles a type that is made at run time, and gives its key templates.
func Templates(t reflect.Type) ([]string, error) {
	comp := &compiler{}
	if _, err := comp.compile(t); err != nil {
		return nil, err
	}
	var keys []string
	for _, l := range comp.leaves {
		keys = append(keys, l.key.text())
	}
	_, err := newMatcher(comp.leaves)
	return keys, err
}
