package handlers

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/go-openapi/loads"
	"github.com/go-openapi/spec"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/restapi"
	"github.com/vmexecutor/config-server/restapi/operations"
)

// TestMarks holds x-vice-scope and x-vice-key of the specification against the struct tags, which are what
// counts: field by field, neither side may have one that the other has not.
func TestMarks(t *testing.T) {
	document, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		t.Fatal(err)
	}
	definitions := document.Spec().Definitions
	for name, typ := range map[string]reflect.Type{
		"Executor":        reflect.TypeFor[executor.ExecutorConfig](),
		"Session":         reflect.TypeFor[executor.SessionConfig](),
		"SessionDetail":   reflect.TypeFor[executor.Detail](),
		"Cmd":             reflect.TypeFor[executor.Cmd](),
		"Diagnostics":     reflect.TypeFor[executor.Diagnostics](),
		"ExitLog":         reflect.TypeFor[executor.ExitLog](),
		"SysLogConfig":    reflect.TypeFor[executor.SysLogConfig](),
		"Mount":           reflect.TypeFor[executor.MountSpec](),
		"Endpoint":        reflect.TypeFor[executor.NetworkEndpoint](),
		"EndpointNetwork": reflect.TypeFor[executor.ContainerNetwork](),
		"Network":         reflect.TypeFor[executor.ContainerNetwork](),
		"AssignedNetwork": reflect.TypeFor[executor.AssignedNetwork](),
		"BuildVersion":    reflect.TypeFor[executor.Version](),
	} {
		marked, tagged := map[string]string{}, map[string]string{}
		for field, property := range definitions[name].Properties {
			if mark := markOf(definitions, property); mark != "store " {
				marked[field] = mark
			}
		}
		tags(typ, "", tagged)
		if !maps.Equal(marked, tagged) {
			for field := range tagged {
				if marked[field] != tagged[field] {
					t.Errorf("%s.%s is marked %q, and its tags say %q", name, field, marked[field], tagged[field])
				}
			}
			for field := range marked {
				if tagged[field] == "" {
					t.Errorf("%s.%s is marked %q, and no such field has a key", name, field, marked[field])
				}
			}
		}
	}
}

// markOf gives scope and key of a property. One that is a reference has those of what it refers to.
func markOf(definitions spec.Definitions, property spec.Schema) string {
	if ref := property.Ref.String(); ref != "" {
		property = definitions[strings.TrimPrefix(ref, "#/definitions/")]
	}
	scope, _ := property.Extensions.GetString("x-vice-scope")
	key, _ := property.Extensions.GetString("x-vice-key")
	return fmt.Sprintf("%s %s", scope, key)
}

// tags collects scope and key of every field that has a key, embedded structs' as the parent's own.
func tags(typ reflect.Type, at string, into map[string]string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		vic, tagged := f.Tag.Lookup("vic")
		if vic == "-" {
			continue
		}
		scope, key := "inherited", f.Name
		if tagged {
			scope, key = f.Tag.Get("scope"), f.Tag.Get("key")
		}
		if f.Anonymous {
			tags(f.Type, at+key+"/", into)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		into[name] = scope + " " + at + key
	}
}

// TestEveryOperationIsWired compares each handler with the placeholder that the generated code has in its place.
func TestEveryOperationIsWired(t *testing.T) {
	ours, err := newAPI(Options{Store: newEdge(t).store})
	if err != nil {
		t.Fatal(err)
	}
	document, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		t.Fatal(err)
	}
	generated := reflect.ValueOf(operations.NewConfigAPI(document)).Elem()
	wired := reflect.ValueOf(ours).Elem()
	n := 0
	for i := range wired.NumField() {
		name := wired.Type().Field(i).Name
		if !strings.HasSuffix(name, "Handler") {
			continue
		}
		n++
		if wired.Field(i).Elem().Pointer() == generated.Field(i).Elem().Pointer() {
			t.Errorf("%s is the generated placeholder", name)
		}
	}
	if n == 0 {
		t.Error("the generated API has no handlers")
	}
}

// TestPatterns holds patterns of the specification against the domain's.
func TestPatterns(t *testing.T) {
	for name, parameter := range specification().Parameters {
		if parameter.In == "path" && (parameter.Pattern != executor.NamePattern || *parameter.MaxLength != executor.MaxName) {
			t.Errorf("parameter %s has pattern %q", name, parameter.Pattern)
		}
	}
	ports := specification().Definitions["Endpoint"].Properties["ports"]
	if got := ports.Items.Schema.Pattern; got != executor.PortPattern {
		t.Errorf("ports have pattern %q", got)
	}
}
