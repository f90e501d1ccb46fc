package extraconfig

import (
	"fmt"
	"reflect"
	"strings"
)

// reserved characters separate the parts of a key, or stand for such parts in a template.
const reserved = "|~@*#" + hole

// tag is what a field's tags say.
type tag struct {
	skip          bool   // not encoded at all
	tagged        bool   // has a scope of its own
	key           string // one step of the key
	scope         Scope
	secret        bool
	nonPersistent bool
}

func parseTag(f reflect.StructField) (tag, error) {
	t := tag{key: f.Name}
	vic, present := f.Tag.Lookup("vic")
	switch {
	case vic == "-" || !f.IsExported():
		t.skip = true
		return t, nil
	case !present:
		return t, nil
	}
	t.tagged = true
	if key := f.Tag.Get("key"); key != "" {
		t.key = key
	}
	if strings.ContainsAny(t.key, reserved) {
		return t, fmt.Errorf("key %q has a character that keys are put together with", t.key)
	}
	for word := range strings.SplitSeq(f.Tag.Get("scope"), ",") {
		if err := t.add(strings.TrimSpace(word)); err != nil {
			return t, err
		}
	}
	if t.scope == Hidden && t.nonPersistent {
		return t, fmt.Errorf("hidden and non-persistent exclude each other")
	}
	if t.scope == 0 {
		t.scope = ReadOnly // volatile, secret and non-persistent alone are as read-only
	}
	return t, nil
}

// add takes one word of the scope tag.
func (t *tag) add(word string) error {
	switch word {
	case "secret":
		t.secret = true
	case "non-persistent":
		t.nonPersistent = true
	case "volatile": // beside another scope it changes nothing
	case "hidden", "read-only", "read-write":
		if t.scope != 0 {
			return fmt.Errorf("scope is %s and %s", t.scope, word)
		}
		for s, w := range scopeWords {
			if w == word {
				t.scope = Scope(s)
			}
		}
	default:
		return fmt.Errorf("unknown scope %q", word)
	}
	return nil
}
