package store

import (
	"fmt"
	"testing"
)

// TestRecent: what is kept is of the revision that is asked for, is not more than there is room for, and is what was read last.
func TestRecent(t *testing.T) {
	r := &recent{limit: 1000}
	at := func(i int, revision uint64) KV {
		return KV{Key: fmt.Sprint("executor/", i), Value: make([]byte, 100), Revision: revision}
	}
	first := &executorRecord{}
	r.add(at(0, 1), first)
	if r.get(at(0, 1)) != first || r.get(at(0, 2)) != nil || r.get(at(1, 1)) != nil {
		t.Error("it gives something else than what was kept")
	}
	second := &executorRecord{}
	r.add(at(0, 2), second)
	if r.get(at(0, 2)) != second || r.get(at(0, 1)) != nil {
		t.Error("it gives what a record was before")
	}
	const many = 100
	for i := 1; i <= many; i++ {
		r.add(at(i, 1), &executorRecord{})
		if r.get(at(0, 2)) != second {
			t.Fatalf("what is read all the time is forgotten after %d others", i)
		}
		if n := len(r.young) + len(r.old); n > 20 || r.size > r.limit {
			t.Fatalf("it keeps %d records, and counts %d bytes", n, r.size)
		}
	}
	if r.get(at(many, 1)) == nil || r.get(at(many/2, 1)) != nil {
		t.Error("it does not keep those that were read last")
	}
	huge := KV{Key: "executor/huge", Value: make([]byte, 5000), Revision: 1}
	r.add(huge, first)
	r.add(at(1, 1), second)
	if len(r.young) != 1 {
		t.Errorf("beside what is too large it keeps %d", len(r.young))
	}
}
