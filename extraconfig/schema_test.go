package extraconfig_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
)

// TestKeysPage keeps docs/keys.md true; with -update it writes it.
func TestKeysPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Keys

Every field of an executor and the key that it has in a VM: the answer to "who can see this?". The page is made from the types
in ` + "`executor/`" + ` by ` + "`make generate`" + `, and a test keeps it true. ` + "`GET /v1/schema/keys`" + ` answers the same.

* A guest cannot see what is *hidden*; it can read what is *read-only*; it can read and change what is *read-write*.
* In a key, ` + "`*`" + ` stands for the name of an entry, or for an index where the field has ` + "`[]`" + `. In read-only keys a ` + "`.`" + ` in a name is written ` + "`/`" + `.
* A *list* has its length, less one, at its key. A *list of strings* has the strings at the same key with ` + "`~`" + `, joined with ` + "`|`" + `, and
  each at ` + "`|0`, `|1`" + `, ... when one contains a ` + "`|`" + `. The marks ` + "`@secret` and `@non-persistent`" + ` stay at the end.
* A *map* has the names of its entries at its key, joined with ` + "`|`" + `. A *CIDR* has its parts at ` + "`IP` and `Mask`" + ` below its key, a *URL* at
  ` + "`Scheme Opaque Host Path RawPath ForceQuery RawQuery Fragment`" + `.
* *secret* values are sealed with the executor's own key; *non-persistent* ones are delivered only while the VM is on.
* ` + "`networkRef`, `revision`" + ` and the notes of execs have no key: they live in the store alone.

| field | key | scope | value |
|---|---|---|---|
`)
	for _, f := range newCodec(t).Fields() {
		scope := f.Scope.String()
		if f.Secret {
			scope += ", secret"
		}
		if f.NonPersistent {
			scope += ", non-persistent"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", f.Path, strings.ReplaceAll(f.Key, "|", `\|`), scope, f.Type)
	}
	golden(t, "../docs/keys.md", b.String())
}

// TestSchemaPaths: every path of the schema leads somewhere in the document, and every value of the document is in the schema.
func TestSchemaPaths(t *testing.T) {
	c := newCodec(t)
	text, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	schema := map[string]bool{}
	for _, f := range c.Fields() {
		schema[f.Path] = true
	}
	paths := map[string]bool{}
	walk(document, "", func(path string, inner bool) {
		paths[path] = true
		if list := strings.TrimSuffix(path, "[]"); !inner && !schema[path] && !schema[list] && !keyless.MatchString(path) {
			t.Errorf("%s has no key in the schema", path)
		}
	})
	for path := range schema {
		if !paths[path] {
			t.Errorf("%s is nowhere in the document", path)
		}
	}
}

// keyless fields live in the store alone.
var keyless = regexp.MustCompile(`^(execs\.\*\.notes|networks\.\*\.networkRef)$`)

// walk goes through a JSON document and tells the paths as the schema writes them; inner ones are objects and lists.
func walk(v any, path string, tell func(path string, inner bool)) {
	switch v := v.(type) {
	case map[string]any:
		tell(path, true)
		for name, below := range v {
			switch path {
			case "":
				walk(below, name, tell)
			case "sessions", "execs", "mounts", "networks", "annotations":
				walk(below, path+".*", tell)
			default:
				walk(below, path+"."+name, tell)
			}
		}
	case []any:
		tell(path, true)
		for _, below := range v {
			walk(below, path+"[]", tell)
		}
	default:
		tell(path, false)
	}
}

// TestFields: what a client is told of a field.
func TestFields(t *testing.T) {
	c := newCodec(t)
	fields := map[string]extraconfig.Field{}
	for _, f := range c.Fields() {
		fields[f.Path+" "+f.Type] = f
	}
	for _, want := range []extraconfig.Field{
		{Path: "hostname", Key: "guestinfo.vice./hostname", Scope: extraconfig.ReadOnly, Type: "string"},
		{Path: "annotations.*", Key: "annotations|*", Scope: extraconfig.Hidden, Type: "string"},
		{Path: "execs.*.exitStatus", Key: "guestinfo.vice..execs|*.status@non-persistent", Scope: extraconfig.ReadWrite, NonPersistent: true, Type: "int"},
		{Path: "mounts.*.source", Key: "guestinfo.vice./mounts|*/source/User@secret", Scope: extraconfig.ReadOnly, Secret: true, Type: "URL credentials"},
		{Path: "diagnostics.exitLogs[].time", Key: "guestinfo.vice..diagnostics.exitlogs|*.Time", Scope: extraconfig.ReadWrite, Type: "time"},
		{Path: "networks.*.network.assigned.gateway", Key: "guestinfo.vice..networks|*.network.assigned.gateway", Scope: extraconfig.ReadWrite, Type: "CIDR"},
	} {
		if got := fields[want.Path+" "+want.Type]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	c.Fields()[0].Key = "changed"
	if c.Fields()[0].Key == "changed" {
		t.Error("a caller can change the schema")
	}
}
