package handlers

import (
	"fmt"
	"strings"
	"testing"
)

// longList is a document with a list as long as a body may be, between what stands before and behind it.
func longList(before, item, behind string) string {
	n := (DefaultBody - len(before) - len(behind)) / len(item+",")
	return before + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + behind
}

// longMap is a document with a map of as many entries as a body may have.
func longMap(before, entry, behind string) string {
	var b strings.Builder
	b.WriteString(before)
	for i := 0; b.Len()+len(entry)+len(behind) < DefaultBody-16; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, entry, i)
	}
	return b.String() + behind
}

// TestManyFaults: whatever is wrong with a document, and however often, the answer is short, says which fields, and how many more.
func TestManyFaults(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "sessions": {"s": {}}}`, nil)
	long := strings.Repeat("n", 400<<10)
	for _, tc := range []struct {
		name, body string
		status     int
		listed     int    // faults
		first      string // beginning of the first one's field
		message    string // a part of its message
	}{
		{"addresses", longList(`{"networks": {"a": {"network": {"nameservers": [`, `"x"`, `]}}}}`), 422, maxFaults + 1, "networks.a.network.nameservers.0", "must be"},
		{"pools that overlap", longList(`{"networks": {"a": {"network": {"pools": [`, `"::/0"`, `]}}}}`), 422, maxFaults + 1, "networks.a.network.pools.1", "must not overlap pools.0"},
		{"entries", longMap(`{"sessions": {`, `"%x": {}`, `}}`), 422, 1, "sessions", "more than an executor can have"},
		{"exit logs", longList(`{"sessions": {"a": {"diagnostics": {"exitLogs": [`, `{}`, `]}}}}`), 422, 1, "sessions.a.diagnostics.exitLogs", "more than an executor can have"},
		{"names of entries", longMap(`{"mounts": {`, `"-%x": {"mode": "`+strings.Repeat("m", 200)+`"}`, `}}`), 422, maxFaults + 1, "mounts.-0", "must"},
		{"a long name above many faults", longList(`{"networks": {"`+long+`": {"network": {"nameservers": [`, `"x"`, `]}}}}`), 422, 1, "networks.nnn", "at most 128 bytes"},
		{"a long key", `{"annotations": {"\uFFFF` + long + `": ""}}`, 422, 1, "annotations.\uFFFFnnn", "must"},
		{"a long unknown name", `{"` + long + `": 1}`, 400, 1, "nnn", "is not a field"},
		{"deep", `{"annotations": ` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_001), 400, 1, "annotations.a", "nested more deeply"},
	} {
		a := e.do("POST", "/v1/executors", tc.body)
		faults := a.problem.Errors
		if a.status != tc.status || len(faults) != tc.listed || !strings.HasPrefix(faults[0].Field, tc.first) || !strings.Contains(faults[0].Message, tc.message) {
			t.Errorf("%s: %d with %d faults: %.1000s", tc.name, a.status, len(faults), a.body)
			continue
		}
		if len(a.body) > 64<<10 || len(a.problem.Detail) > 8<<10 {
			t.Errorf("%s: answered with %d bytes, %d of them the detail", tc.name, len(a.body), len(a.problem.Detail))
		}
		if tc.listed > maxFaults && (!strings.HasSuffix(faults[maxFaults].Message, "more faults are not listed") || faults[maxFaults].Field != "") {
			t.Errorf("%s: ends with %+v", tc.name, faults[maxFaults])
		}
	}
	deep := strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000)
	a := e.expect(400, "PATCH", "/v1/executors/x", deep, nil, "Content-Type", "application/merge-patch+json")
	if !strings.Contains(a.problem.Detail, "nested more deeply") || len(a.body) > 4<<10 {
		t.Errorf("deep patch: %d bytes: %.1000s", len(a.body), a.body)
	}
}
