package executor

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"
)

func TestCanonicalFormsAreEqual(t *testing.T) {
	a := parse(t, `{"id": "x",
		"sessions": {"s": {"id": "s", "cmd": {"args": [], "env": []}, "diagnostics": {"exitLogs": [{"time": "2026-01-01T00:00:00Z"}]}}},
		"execs": {}, "mounts": {"m": {"source": "label://d", "path": "/d"}}, "annotations": {}, "key": "",
		"networks": {"n": {"name": "n", "ports": [], "network": {"destinations": ["10.1.2.3/8"], "pools": ["10.0.0.0/30"], "aliases": [], "nameservers": []}}}}`)
	b := parse(t, `{"id": "x",
		"sessions": {"s": {"diagnostics": {"exitLogs": [{"time": "2026-01-01T01:00:00+01:00"}]}}},
		"mounts": {"m": {"source": "label:///d", "path": "/d"}},
		"networks": {"n": {"network": {"destinations": ["10.0.0.0/8"], "pools": ["10.0.0.0-10.0.0.3"]}}}}`)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("differ:\n%+v\n%+v", a, b)
	}
	if c := parse(t, `{"id": "x", "sessions": {"s": null}, "networks": {"n": null}}`); c.Sessions["s"].ID != "s" || c.Networks["n"].Name != "n" {
		t.Error("an empty entry has its defaults")
	}
}

// TestCloneSharesNothing fills every field and looks for memory that a copy shares with its original.
func TestCloneSharesNothing(t *testing.T) {
	c := new(ExecutorConfig)
	fill(reflect.ValueOf(c).Elem())
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatal("a clone differs from its original")
	}
	shared(t, "executor", reflect.ValueOf(c), reflect.ValueOf(d))
	m := new(ContainerVM)
	fill(reflect.ValueOf(m).Elem())
	shared(t, "vm", reflect.ValueOf(m), reflect.ValueOf(m.Clone()))
}

// fill gives every field a value that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.1.2.3/16")))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.1.2.3")))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 2).UTC()))
		return
	case URL:
		v.Set(reflect.ValueOf(URL{Scheme: "tcp", Host: "x:1", User: url.UserPassword("u", "p")}))
		return
	case Source:
		v.Set(reflect.ValueOf(Source{Scheme: "nfs", Host: "filer", Path: "/x", User: url.UserPassword("u", "p")}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem)
		v.SetMapIndex(reflect.ValueOf("entry"), elem)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	default:
		panic("fill: " + v.Type().String())
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	switch a.Interface().(type) {
	case netip.Prefix, netip.Addr, time.Time, Source, URL:
		return // immutable
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() {
			t.Errorf("%s was not filled", path)
			return
		}
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		shared(t, path, a.Elem(), b.Elem())
	case reflect.Map:
		for _, k := range a.MapKeys() {
			shared(t, path+"."+k.String(), a.MapIndex(k), b.MapIndex(k))
		}
	case reflect.Slice:
		for i := range a.Len() {
			shared(t, path, a.Index(i), b.Index(i))
		}
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	}
}

// TestJSONNamesAreComplete: records and error paths rely on every field having a name of its own.
func TestJSONNamesAreComplete(t *testing.T) {
	c := new(ExecutorConfig)
	fill(reflect.ValueOf(c).Elem())
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := new(ExecutorConfig)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, d) {
		t.Errorf("a record loses something:\n%s", text)
	}
}
