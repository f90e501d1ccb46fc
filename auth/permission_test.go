package auth

import (
	"os"
	"regexp"
	"testing"
)

// TestEveryOperationIsInTheTable: and the table has no other.
func TestEveryOperationIsInTheTable(t *testing.T) {
	text, err := os.ReadFile("../swagger.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{Documentation: true, Metrics: true}
	for _, m := range regexp.MustCompile(`(?m)^ +operationId: (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = true
		if operations[m[1]] == nobody {
			t.Errorf("nobody has %s: say in the table who does", m[1])
		}
	}
	for operation := range operations {
		if !found[operation] {
			t.Errorf("%s is in the table, and is no operation", operation)
		}
	}
	if len(found) < 40 {
		t.Errorf("found %d operations only", len(found))
	}
}

// TestDefaultDeny: what is not named nobody has, and who is not known has what everybody has.
func TestDefaultDeny(t *testing.T) {
	for _, p := range []Principal{{}, {Name: "x"}, {Name: "x", Role: "root"}, {Name: "x", Role: Viewer}, {Name: "x", Role: Operator}, {Name: "x", Role: Admin}, {Name: "x", Role: VM, Executor: "a"}, {Name: "x", Role: VM}} {
		if p.May("", "") || p.May("inventOperation", "") || p.May("inventOperation", "a") {
			t.Errorf("%v has an operation that there is not", p)
		}
		if !p.May("getHealth", "") {
			t.Errorf("%v has not what everybody has", p)
		}
		if known := p.Role == Viewer || p.Role == Operator || p.Role == Admin; p.May("listExecutors", "") != known {
			t.Errorf("%v may list: %v", p, !known)
		}
	}
	guest := Principal{Name: "x", Role: VM, Executor: "a"}
	if !guest.May("getKeys", "a") || guest.May("getKeys", "b") || guest.May("getKeys", "") || guest.May("getExecutor", "a") || guest.May("getVersion", "") {
		t.Error("a guest has something else than its own")
	}
	if (Principal{Role: VM}).May("getKeys", "") {
		t.Error("a guest of nothing has something")
	}
}

// TestSecrets: who sees the secrets of an executor, and who may bind them to another VM.
func TestSecrets(t *testing.T) {
	for _, c := range []struct {
		p             Principal
		sees, strange bool // those of its own executor, which is a, and those of others
		moves         bool
	}{
		{Principal{}, false, false, false},
		{Principal{Name: "x", Role: "root"}, false, false, false},
		{Principal{Name: "x", Role: Viewer}, false, false, false},
		{Principal{Name: "x", Role: Operator}, false, false, false},
		{Principal{Name: "x", Role: Admin}, true, true, true},
		{Principal{Name: "x", Role: VM, Executor: "a"}, true, false, false},
		{Principal{Name: "x", Role: VM}, false, false, false},
	} {
		if c.p.SeesSecrets("a") != c.sees || c.p.SeesSecrets("b") != c.strange || c.p.SeesSecrets("") != c.strange || c.p.MovesSecrets() != c.moves {
			t.Errorf("%v sees %v and %v, moves %v", c.p, c.p.SeesSecrets("a"), c.p.SeesSecrets("b"), c.p.MovesSecrets())
		}
	}
}
