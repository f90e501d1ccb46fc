package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/store/seal"
)

func (c *recordCodec) kvAt(key string, revision uint64, name string) KV {
	return KV{Key: key, Value: c.keys.Seal(key, fmt.Appendf(nil, `{"format":1,"ref":%q}`, name)), Revision: revision}
}

func refOf(t *testing.T, c *recordCodec, kv KV) *bindingRecord {
	t.Helper()
	rec, err := shared[bindingRecord](c, kv)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestRecordsAreDecodedOnce(t *testing.T) {
	c := newRecordCodec(seal.NewKeys(), 1<<20)
	first := refOf(t, c, c.kvAt("vm/a", 3, "one"))
	if again := refOf(t, c, c.kvAt("vm/a", 3, "one")); again != first {
		t.Error("a record was decoded twice at its revision")
	}
	second := refOf(t, c, c.kvAt("vm/a", 4, "two"))
	if second.Ref != "two" {
		t.Errorf("revision 4 is %q", second.Ref)
	}
	// Somebody reads the state at an older revision, which makes nobody else decode anew.
	if old := refOf(t, c, c.kvAt("vm/a", 3, "one")); old.Ref != "one" {
		t.Errorf("revision 3 is %q", old.Ref)
	}
	if refOf(t, c, c.kvAt("vm/a", 4, "two")) != second {
		t.Error("an older revision took the place of a newer one")
	}
}

func TestKeptRecordsAreBounded(t *testing.T) {
	c := newRecordCodec(seal.NewKeys(), 0)
	kv := c.kvAt("vm/aa", 1, "one")
	size := len(kv.Key) + len(kv.Value)
	c.room = 10 * size
	for n := range uint64(100) {
		refOf(t, c, c.kvAt(fmt.Sprintf("vm/%02d", n%50), n+1, "one"))
		if want := 10 - len(c.kept); c.room != want*size || want < 0 {
			t.Fatalf("%d records of %d bytes are kept, and there is room for %d bytes more", len(c.kept), size, c.room)
		}
	}
	if len(c.kept) != 10 {
		t.Errorf("%d records are kept where there is room for 10", len(c.kept))
	}
	refOf(t, c, c.kvAt("vm/large", 101, strings.Repeat("x", 10*size)))
	if c.room < 0 {
		t.Errorf("%d bytes too many are kept", -c.room)
	}
}

func TestWhatCannotBeDecodedIsNotKept(t *testing.T) {
	c := newRecordCodec(seal.NewKeys(), 1<<20)
	for _, value := range []string{`{"format":2}`, `{`} {
		if _, err := shared[bindingRecord](c, KV{Key: "vm/a", Value: c.keys.Seal("vm/a", []byte(value)), Revision: 1}); err == nil {
			t.Errorf("%s was read", value)
		}
	}
	if len(c.kept) > 0 {
		t.Error("it was kept")
	}
}
