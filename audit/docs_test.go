package audit

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOperationsPage: it explains every field and every outcome, and none that there is not.
func TestOperationsPage(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| field of a line |")
	table, _, _ = strings.Cut(table, "\n\n")
	var explained, fields []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-zA-Z]+)`").FindAllStringSubmatch(cells[1], -1) {
			explained = append(explained, m[1])
		}
	}
	for i, typ := 0, reflect.TypeFor[Entry](); i < typ.NumField(); i++ {
		if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "-" {
			fields = append(fields, name)
		}
	}
	slices.Sort(explained)
	slices.Sort(fields)
	if !found || !slices.Equal(explained, fields) {
		t.Errorf("the page explains %q, there are %q", explained, fields)
	}
	for _, o := range []Outcome{Done, Unchanged, Refused, Failed, PutBack, Omitted} {
		if !strings.Contains(table, "`"+string(o)+"`") {
			t.Errorf("the page does not explain the outcome %q", o)
		}
	}
}
