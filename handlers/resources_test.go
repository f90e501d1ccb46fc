package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// document is a JSON object. Decoding replaces what it held.
type document map[string]any

// UnmarshalJSON makes a document anew: encoding/json would add to what was there.
func (d *document) UnmarshalJSON(text []byte) error {
	var m map[string]any
	err := json.Unmarshal(text, &m)
	*d = m
	return err
}

// at goes down to a field.
func (d document) at(steps ...string) any {
	var v any = map[string]any(d)
	for _, step := range steps {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	return v
}

func TestExecutors(t *testing.T) {
	e := newEdge(t)
	var made, got, list document
	a := e.expect(201, "POST", "/v1/executors", `{"name": "web", "hostname": "h", "sessions": {"s": {"exitStatus": 3}}}`, &made)
	id, _ := made["id"].(string)
	if len(id) != 64 || a.header.Get("Location") != "/v1/executors/"+id {
		t.Fatalf("id %q, Location %q", id, a.header.Get("Location"))
	}
	e.expect(200, "GET", "/v1/executors/"+id, "", &got)
	if !maps.EqualFunc(made, got, same) {
		t.Errorf("created %v, got %v", made, got)
	}
	e.refusedDetail(409, "exists", "POST", "/v1/executors", `{"id": "`+id+`"}`)

	// A PUT replaces the configuration, and leaves the report alone.
	e.expect(200, "PUT", "/v1/executors/"+id, `{"name": "web2", "sessions": {"s": {"exitStatus": 0}}}`, &got)
	if got["name"] != "web2" || got["hostname"] != nil || got.at("sessions", "s", "exitStatus") != 3.0 || got.at("sessions", "s", "id") != "s" {
		t.Errorf("after PUT: %v", got)
	}
	revision := got["revision"]
	e.expect(200, "PUT", "/v1/executors/"+id, string(mustJSON(t, got)), &got)
	if got["revision"] != revision {
		t.Errorf("a PUT of what was there made revision %v of %v", got["revision"], revision)
	}
	a = e.expect(201, "PUT", "/v1/executors/a", `{}`, nil)
	if a.header.Get("Location") != "/v1/executors/a" {
		t.Errorf("Location %q", a.header.Get("Location"))
	}
	e.expect(200, "GET", "/v1/executors", "", &list)
	if items := list["items"].([]any); len(items) != 2 || list["revision"] == nil {
		t.Errorf("list is %v", list)
	}
	e.expect(204, "DELETE", "/v1/executors/a", "", nil)
	e.expect(404, "DELETE", "/v1/executors/a", "", nil)
	e.expect(404, "GET", "/v1/executors/a", "", nil)
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refusedDetail makes a request that must fail with a problem type of its own.
func (e *edgeTest) refusedDetail(status int, typ, method, target, body string) *answer {
	e.Helper()
	a := e.expect(status, method, target, body, nil)
	if a.problem.Type != problemTypes+typ || a.problem.Detail == "" {
		e.Errorf("%s %s: %s, want a problem of type %s", method, target, a.body, typ)
	}
	return a
}

// TestAllFaultsAtOnce: what cannot be read and what makes no sense are told together, each by its field.
func TestAllFaultsAtOnce(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x"}`, nil)
	body := `{"id": "y", "hostname": "<nil>", "networks": {
		"a": {"ip": "10.0.0.300/8", "assigned": "::ffff:10.0.0.1/104", "networkRef": "a b",
		      "network": {"gateway": "10.1.0.1/16", "pools": ["9-1", "10.2.0.0/24"], "nameservers": ["x"], "destinations": ["10.0.0.0/8", "y"]}},
		"b|c": {}},
		"mounts": {"m": {"source": "nfs:x", "path": "srv"}, "n": {"source": "http://u:secret@host/#f", "path": "/n"}},
		"sessions": {"s": {"id": "t", "detail": {"stopTime": "1970-01-01T00:00:00Z"}}}}`
	fields := []string{
		"hostname", "id", "mounts.m.path", "mounts.m.source", "mounts.n.source", "networks.a.assigned", "networks.a.ip", "networks.a.network.destinations.1",
		"networks.a.network.nameservers.0", "networks.a.network.pools.0", "networks.a.network.pools.1", "networks.a.networkRef", "networks.b|c", "sessions.s.detail.stopTime", "sessions.s.id",
	}
	a := e.refused(422, "PUT", "/v1/executors/x", body, fields...)
	if strings.Contains(string(a.body), "secret") {
		t.Errorf("the problem shows a password: %s", a.body)
	}
	e.refused(422, "POST", "/v1/executors", body, slices.DeleteFunc(fields, func(f string) bool { return f == "id" })...)
	e.refused(422, "PUT", "/v1/executors/x", `{"vm": {"driver": "vsphere", "ref": "vm1"}}`, "vm")
	e.refused(422, "POST", "/v1/executors", `{"vm": {"interaction": "nowhere", "agentKey": "eA=="}}`, "vm.driver", "vm.interaction", "vm.ref")
	e.refused(422, "POST", "/v1/executors", `{"vm": {"driver": "abacus", "ref": "vm1"}}`, "vm.driver")
	var list document
	if e.expect(200, "GET", "/v1/executors", "", &list); len(list["items"].([]any)) != 1 {
		t.Errorf("something was stored: %v", list)
	}
}

// TestFaultsOfBothKinds: what the specification refuses hides nothing that the domain and the store would, wherever a document goes, and says
// nothing twice.
func TestFaultsOfBothKinds(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "mounts": {"data": {"source": "label:///data", "path": "/srv"}}}`, nil)
	body := `{"id": "y", "mounts": {"m": {"path": "srv", "copyMode": "zzz", "source": "nope"}, "n": {"path": "/n", "source": "label:///n", "copyMode": "z"}, "a b": {"path": "x"}},
		"networks": {"e": {"ports": ["zz", "80:80/tcp", "70000/udp"], "networkRef": "nonet", "ip": "1", "network": {"trustLevel": "high"}}, "f": {"ports": ["?"], "networkRef": "nonet"}}}`
	fields := []string{
		"id", "mounts.a b", "mounts.a b.path", "mounts.a b.source", "mounts.m.copyMode", "mounts.m.path", "mounts.m.source", "mounts.n.copyMode",
		"networks.e.ip", "networks.e.network.trustLevel", "networks.e.networkRef", "networks.e.ports.0", "networks.e.ports.2", "networks.f.networkRef", "networks.f.ports.0",
	}
	e.refused(422, "PUT", "/v1/executors/x", body, fields...)
	e.refusedPatch(422, "/v1/executors/x", body, fields...)
	e.refused(422, "POST", "/v1/executors", body, fields[1:]...)
	e.refused(422, "POST", "/v1/executors", `{"hostname": "<nil>", "vm": {"driver": "foo", "interaction": "nowhere"}}`, "hostname", "vm.driver", "vm.interaction", "vm.ref")
	e.refused(422, "PUT", "/v1/executors/x/vm", `{"driver": "foo"}`, "driver", "ref")
	long := strings.Repeat("n", 129)
	e.refused(422, "PUT", "/v1/executors/x/sessions/s", `{"id": "`+long+`", "user": "<nil>"}`, "id", "user")
	e.refused(422, "PUT", "/v1/executors/x/execs/s", `{"id": "`+long+`", "user": "<nil>"}`, "id", "user")
	e.refused(422, "PUT", "/v1/executors/x/mounts/m", `{"name": "n", "source": "label:///m", "path": "/srv", "copyMode": "zzz"}`, "copyMode", "name", "path")
	e.refusedPatch(422, "/v1/executors/x/mounts/data", `{"copyMode": "zzz", "path": "srv"}`, "copyMode", "path")
	e.refused(422, "PUT", "/v1/executors/x/networks/e", `{"ports": ["zz"], "networkRef": "nonet", "ip": "1"}`, "ip", "networkRef", "ports.0")
	e.refused(422, "POST", "/v1/networks", `{"trustLevel": "high", "gateway": "1"}`, "gateway", "name", "trustLevel")
	e.refused(422, "PUT", "/v1/networks/n", `{"name": "m", "trustLevel": "high", "gateway": "1"}`, "gateway", "name", "trustLevel")

	// Beside a fault of the request it is a bad request, with all of it.
	a := e.expect(400, "PUT", "/v1/executors/x", `{"mounts": {"m": {"path": "srv", "copyMode": "zzz", "source": "label:///m"}}}`, nil, "If-None-Match", `"1-1"`)
	if len(a.problem.Errors) != 3 {
		t.Errorf("faults: %s", a.body)
	}
}

func TestNetworks(t *testing.T) {
	e := newEdge(t)
	var made, got document
	a := e.expect(201, "POST", "/v1/networks", `{"name": "front", "gateway": "10.1.0.1/16", "pools": ["10.1.2.0/24"], "annotations": {"k": "v"}}`, &made)
	if a.header.Get("Location") != "/v1/networks/front" || made["createTime"] == nil || same(made["pools"], "[10.1.2.0-10.1.2.255]") == false {
		t.Errorf("created %v", made)
	}
	e.refusedDetail(409, "exists", "POST", "/v1/networks", `{"name": "front"}`)
	e.refused(422, "POST", "/v1/networks", `{}`, "name")
	e.refused(422, "PUT", "/v1/networks/front", `{"name": "back", "gateway": "x", "annotations": {"": "v"}}`, "annotations", "gateway", "name")
	e.expect(200, "PUT", "/v1/networks/front", `{"type": "bridge"}`, &got)
	if got["type"] != "bridge" || got["name"] != "front" || got["createTime"] != made["createTime"] {
		t.Errorf("replaced %v", got)
	}
	e.expect(201, "PUT", "/v1/networks/back", `{}`, nil)
	if e.expect(200, "GET", "/v1/networks", "", &got); len(got["items"].([]any)) != 2 {
		t.Errorf("list is %v", got)
	}
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "networks": {"eth0": {"networkRef": "front"}}}`, &got)
	if got.at("networks", "eth0", "network", "type") != "bridge" {
		t.Errorf("the endpoint does not follow: %v", got)
	}
	if a := e.refusedDetail(409, "in-use", "DELETE", "/v1/networks/front", ""); !strings.Contains(a.problem.Detail, "x/eth0") {
		t.Errorf("the holder is not named: %s", a.body)
	}
	e.refused(422, "PUT", "/v1/executors/x", `{"networks": {"eth0": {"networkRef": "nowhere"}}}`, "networks.eth0.networkRef")
	e.expect(204, "DELETE", "/v1/networks/back", "", nil)
	e.expect(404, "GET", "/v1/networks/back", "", nil)
}

func TestBindings(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "y", "vm": {"driver": "vsphere", "ref": "vm2"}}`, nil)
	e.expect(404, "GET", "/v1/executors/x/vm", "", nil)
	e.expect(404, "DELETE", "/v1/executors/x/vm", "", nil)
	e.expect(404, "PUT", "/v1/executors/z/vm", `{"driver": "vsphere", "ref": "vm1"}`, nil)
	e.refused(422, "PUT", "/v1/executors/x/vm", `{"driver": "vsphere"}`, "ref")
	var made, got document
	e.expect(201, "PUT", "/v1/executors/x/vm", `{"driver": "vsphere", "ref": "vm1", "aliases": {"a": "b"}, "interaction": "tcp://h:1", "agentKey": "a2V5"}`, &made)
	e.expect(200, "GET", "/v1/executors/x/vm", "", &got)
	if !maps.EqualFunc(made, got, same) || got["agentKey"] != "a2V5" {
		t.Errorf("bound %v, got %v", made, got)
	}
	e.expect(200, "PUT", "/v1/executors/x/vm?takeOver=true", `{"driver": "vsphere", "ref": "vm3"}`, nil)
	if a := e.refusedDetail(409, "vm-claimed", "PUT", "/v1/executors/x/vm", `{"driver": "vsphere", "ref": "vm2"}`); !strings.Contains(a.problem.Detail, `"y"`) {
		t.Errorf("the holder is not named: %s", a.body)
	}
	e.expect(204, "DELETE", "/v1/executors/x/vm", "", nil)
	e.expect(404, "GET", "/v1/executors/x/vm", "", nil)
}

func TestKeysAndStatus(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "notes": "hidden", "annotations": {"k": "v"}, "sessions": {"s": {}}, "execs": {"e": {}}}`, nil)
	byScope := map[string]int{}
	for _, scope := range []string{"all", "guest", "hidden", "read-only", "read-write"} {
		var set struct {
			ExecutorID string
			Revision   uint64
			Keys       []struct{ Key, Value, Scope, Field string }
		}
		e.expect(200, "GET", "/v1/executors/x/keys?scope="+scope, "", &set)
		byScope[scope] = len(set.Keys)
		for _, k := range set.Keys {
			if guest := strings.HasPrefix(k.Key, "guestinfo."); guest == (k.Scope == "hidden") || (scope == "guest" && !guest) {
				t.Errorf("%s: %+v", scope, k)
			}
		}
		if set.ExecutorID != "x" || set.Revision != 1 {
			t.Errorf("%s: %+v", scope, set)
		}
	}
	if byScope["all"] != byScope["guest"]+byScope["hidden"] || byScope["guest"] != byScope["read-only"]+byScope["read-write"] || byScope["hidden"] == 0 {
		t.Errorf("keys by scope: %v", byScope)
	}
	var status document
	if e.expect(200, "GET", "/v1/executors/x/status", "", &status); status["state"] != "unbound" || status["desiredRevision"] != 1.0 {
		t.Errorf("status is %v", status)
	}
	e.refusedDetail(409, "unbound", "POST", "/v1/executors/x/push", "")
	e.refusedDetail(409, "unbound", "POST", "/v1/executors/x/push?dryRun=true", "")
	e.expect(404, "GET", "/v1/executors/y/status", "", nil)
	e.expect(404, "GET", "/v1/executors/y/keys", "", nil)
	e.expect(404, "POST", "/v1/executors/y/push", "", nil)
	e.expect(200, "PUT", "/v1/executors/x", `{"mounts": {"m": {"source": "nfs://u:hunter2@host/x", "path": "/m"}}}`, nil)
	e.expect(201, "PUT", "/v1/executors/x/vm", `{"driver": "vsphere", "ref": "vm1"}`, nil)
	if e.expect(200, "GET", "/v1/executors/x/status", "", &status); status["state"] != "pending" {
		t.Errorf("status is %v", status)
	}
	if a := e.expect(200, "GET", "/v1/executors/x/keys", "", nil); strings.Contains(string(a.body), "hunter2") {
		t.Error("the key set shows a password")
	}
	e.refusedDetail(409, "vm-unavailable", "POST", "/v1/executors/x/push?dryRun=true", "") // there is no driver in this test
}
