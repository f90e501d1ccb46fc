package handlers

import (
	"encoding/json"
	"testing"

	"github.com/go-openapi/loads"

	"github.com/vmexecutor/config-server/restapi"
)

// TestReleasedMarks: scopes and keys that were released are in VMs and stores, where no server can take them back. They stay as they
// are; fields may be added, with marks of their own. `make check-contract`, which guards all else, does not look at them.
func TestReleasedMarks(t *testing.T) {
	released, err := loads.Spec("../tools/swagger/released.yml")
	if err != nil {
		t.Fatal(err)
	}
	was, is := marksIn(t, released.Raw()), marksIn(t, restapi.SwaggerJSON)
	for at, mark := range was {
		if is[at] != mark {
			t.Errorf("%s was released as %q, and is %q", at, mark, is[at])
		}
	}
	if len(was) < 200 {
		t.Errorf("the released contract has %d marks", len(was))
	}
	for _, at := range []string{"Executor properties name x-vice-scope", "Session properties exitStatus x-vice-key", "Executor properties diagnostics $ref"} {
		if was[at] == "" {
			t.Errorf("the released contract has no %s", at)
		}
	}
}

// marksIn lists everything that decides where a field is in a VM and who sees it there, by its place among the definitions: scopes, keys, and
// which definition a field refers to.
func marksIn(t *testing.T, specification []byte) map[string]string {
	t.Helper()
	var document struct{ Definitions map[string]any }
	if err := json.Unmarshal(specification, &document); err != nil {
		t.Fatal(err)
	}
	marks := map[string]string{}
	collectMarks(document.Definitions, "", marks)
	return marks
}

func collectMarks(node any, at string, into map[string]string) {
	switch node := node.(type) {
	case map[string]any:
		for name, value := range node {
			text, isText := value.(string)
			if isText && (name == "x-vice-scope" || name == "x-vice-key" || name == "$ref") {
				into[at+name] = text
			}
			collectMarks(value, at+name+" ", into)
		}
	case []any:
		for _, value := range node {
			collectMarks(value, at, into)
		}
	}
}
