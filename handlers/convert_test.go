package handlers

import (
	"bytes"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store"
)

// TestConvertersLoseNothing writes a document of every field as the API does and reads it back.
func TestConvertersLoseNothing(t *testing.T) {
	var want executor.ExecutorConfig
	fill(reflect.ValueOf(&want).Elem())
	text := &bytes.Buffer{}
	if err := plainJSON.Produce(text, inFull.config(&want)); err != nil {
		t.Fatal(err)
	}
	var m models.Executor
	if err := strictJSON.Consume(text, &m); err != nil {
		t.Fatal(err)
	}
	var r reader
	if got := r.executor(&m); !reflect.DeepEqual(*got, want) || r.err() != nil {
		t.Errorf("got  %+v\nwant %+v\n%v", *got, want, r.err())
	}

	var network store.Network
	fill(reflect.ValueOf(&network).Elem())
	text.Reset()
	if err := plainJSON.Produce(text, networkModel(&network)); err != nil {
		t.Fatal(err)
	}
	var n models.Network
	if err := strictJSON.Consume(text, &n); err != nil {
		t.Fatal(err)
	}
	got := r.network(&n)
	got.Revision = network.Revision
	if !reflect.DeepEqual(got, network) || r.err() != nil {
		t.Errorf("got  %+v\nwant %+v\n%v", got, network, r.err())
	}

	var vm executor.ContainerVM
	fill(reflect.ValueOf(&vm).Elem())
	binding := &store.Binding{Driver: "vsphere", Ref: "vm1", VM: vm}
	if got := r.binding("", inFull.binding(binding)); !reflect.DeepEqual(got, binding) || r.err() != nil {
		t.Errorf("got  %+v\nwant %+v\n%v", got, binding, r.err())
	}
}

// fill gives every field a value that is not its zero value.
func fill(v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *netip.Prefix:
		*p = netip.MustParsePrefix("10.1.2.3/16")
		return
	case *netip.Addr:
		*p = netip.MustParseAddr("fd00::53")
		return
	case *executor.Range:
		*p = executor.Range{First: netip.MustParseAddr("10.1.0.1"), Last: netip.MustParseAddr("10.1.0.9")}
		return
	case *executor.Source:
		*p = executor.Source{Scheme: "nfs", Host: "filer", Path: "/x", User: url.UserPassword("u", "p")}
		return
	case *executor.URL:
		*p = executor.URL{Scheme: "tcp", Host: "host:2377"}
		return
	case *time.Time:
		*p = time.Unix(1_700_000_000, 123_456_789).UTC()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		entry := reflect.New(v.Type().Elem()).Elem()
		fill(entry)
		v.SetMapIndex(reflect.ValueOf("a"), entry)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func TestStrictJSON(t *testing.T) {
	for body, ok := range map[string]bool{
		`{}`:                                    true,
		` {"name": "x"} ` + "\n":                true,
		`{"name": null}`:                        true,
		`{"sessions": {"a": {}}}`:               true,
		`{"sessions": {"a": null}}`:             false,
		`{"mounts": {"a": null}}`:               false,
		`{"networks": {"a": null}}`:             false,
		`{"Name": "x"}`:                         false,
		`{"names": "x"}`:                        false,
		`{"name": "x", "name": "y"}`:            false,
		`{"name": "` + "\xff" + `"}`:            false,
		`{"name": "\ud800"}`:                    false,
		`{"name": 1}`:                           false,
		`{"diagnostics": {"exitLogs": [null]}}`: false,
		`{"diagnostics": {"debugLevel": 1.5}}`:  false,
		`{"diagnostics": {"debugLevel": 1e99}}`: false,
		`null`:                                  false, `[]`: false, `""`: false, ``: false, `{`: false, `{}{}`: false, `{} x`: false,
		strings.Repeat(`{"a":`, 100_000): false,
	} {
		var m models.Executor
		if err := strictJSON.Consume(strings.NewReader(body), &m); (err == nil) != ok {
			t.Errorf("%.40s: %v", body, err)
		}
	}
}
