package handlers

import (
	"fmt"
	"strings"
	"testing"
)

// TestEntries: each map of an executor is a collection of resources, each of which behaves as the others do.
func TestEntries(t *testing.T) {
	for kind, tc := range map[string]struct{ doc, changed, patch, field, bad, badField string }{
		"sessions": {`{"cmd": {"path": "/bin/a"}}`, `{"cmd": {"path": "/bin/b"}}`, `{"cmd": {"path": "/bin/b"}}`, "id", `{"cmd": {"env": ["<nil>"]}}`, "cmd.env.0"},
		"execs":    {`{"cmd": {"path": "/bin/a"}}`, `{"cmd": {"path": "/bin/b"}}`, `{"cmd": {"path": "/bin/b"}}`, "id", `{"user": "\u0001"}`, "user"},
		"mounts":   {`{"path": "/a", "source": "label:///x"}`, `{"path": "/b", "source": "label:///x"}`, `{"path": "/b"}`, "name", `{"path": "a", "source": "label:///x"}`, "path"},
		"networks": {`{"ip": "10.0.0.1/8"}`, `{"ip": "10.0.0.2/8"}`, `{"ip": "10.0.0.2/8"}`, "name", `{"ip": "10.0.0.1"}`, "ip"},
	} {
		t.Run(kind, func(t *testing.T) {
			e := newEdge(t)
			all, one := "/v1/executors/x/"+kind, "/v1/executors/x/"+kind+"/a"
			e.expect(404, "GET", all, "", nil)
			e.expect(404, "PUT", one, tc.doc, nil)
			e.expect(201, "POST", "/v1/executors", `{"id": "x", "hostname": "h"}`, nil)
			var list, made, got, whole document
			if e.expect(200, "GET", all, "", &list); len(list["items"].([]any)) != 0 || list["revision"] != 1.0 {
				t.Errorf("list is %v", list)
			}
			for _, method := range []string{"GET", "DELETE"} {
				e.expect(404, method, one, "", nil)
			}
			e.expect(404, "PATCH", one, `{}`, nil, "Content-Type", "application/merge-patch+json")

			a := e.expect(201, "PUT", one, tc.doc, &made)
			if a.header.Get("Location") != one || a.header.Get("ETag") != `"2-2"` || made[tc.field] != "a" || made["revision"] != 2.0 {
				t.Errorf("created %v %s", a.header, a.body)
			}
			e.expect(200, "GET", "/v1/executors/x", "", &whole)
			if e.expect(200, "GET", one, "", &got); !same(got, made) || !same(whole.at(kind, "a"), made) || whole["hostname"] != "h" {
				t.Errorf("created %v, got %v in %v", made, got, whole)
			}
			if a := e.expect(200, "PUT", one, tc.doc, nil); a.header.Get("ETag") != `"2-2"` {
				t.Errorf("a PUT of what was there: %v", a.header)
			}
			if a := e.expect(200, "PUT", one, string(mustJSON(t, got)), nil); a.header.Get("ETag") != `"2-2"` {
				t.Errorf("a PUT of what was got: %v", a.header)
			}
			e.expect(200, "PUT", one, tc.changed, &made)
			e.expect(200, "PUT", one, tc.doc, nil)
			if a := e.expect(200, "PATCH", one, tc.patch, &got, "Content-Type", "application/merge-patch+json"); a.header.Get("ETag") != `"5-5"` {
				t.Errorf("patched: %v", a.header)
			}
			delete(made, "revision")
			delete(got, "revision")
			if !same(made, got) {
				t.Errorf("patched %v, put %v", got, made)
			}
			// Faults are told as those of the entry's own document, and another name is one.
			e.refused(422, "PUT", one, tc.bad, tc.badField)
			e.refused(422, "PUT", one, `{"`+tc.field+`": "b", `+tc.doc[1:], tc.field)
			e.refused(422, "PUT", all+"/b", tc.bad, tc.badField)
			e.refused(400, "PUT", one, `{"unknown": 1}`, "unknown")
			e.refusedPatch(422, one, tc.bad, tc.badField)
			e.refusedPatch(400, one, `{"unknown": 1}`, "unknown")
			e.refusedPatch(400, one, `[]`, "")

			e.expect(412, "DELETE", one, "", nil, "If-Match", `"2-2"`)
			e.expect(204, "DELETE", one, "", nil, "If-Match", `"5-5"`)
			e.expect(404, "GET", one, "", nil)
			if e.expect(200, "GET", "/v1/executors/x", "", &whole); len(whole[kind].(map[string]any)) != 0 || whole["revision"] != 6.0 {
				t.Errorf("after DELETE: %v", whole)
			}
		})
	}
}

// refusedPatch is refused for a merge patch.
func (e *edgeTest) refusedPatch(status int, target, body string, fields ...string) *answer {
	e.Helper()
	a := e.expect(status, "PATCH", target, body, nil, "Content-Type", "application/merge-patch+json")
	var got []string
	for _, f := range a.problem.Errors {
		got = append(got, f.Field)
	}
	if strings.Join(got, " ") != strings.Join(fields, " ") {
		e.Errorf("PATCH %s %s: faults of %q, want %q: %s", target, body, got, fields, a.body)
	}
	return a
}

func (e *edgeTest) patch(target, body string, v any, headers ...string) *answer {
	e.Helper()
	return e.expect(200, "PATCH", target, body, v, append(headers, "Content-Type", "application/merge-patch+json")...)
}

// TestPatch: the rules of RFC 7396, on a document that keeps what the patch does not name.
func TestPatch(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "name": "n", "hostname": "h", "annotations": {"a": "1", "b": "2"},
		"sessions": {"s": {"cmd": {"path": "/p", "args": ["1", "2"]}, "started": "true", "exitStatus": 7}},
		"diagnostics": {"sysLogConfig": {"network": "udp", "rAddr": "h:1"}}, "createTime": "2026-01-02T03:04:05.000000006Z"}`, nil)
	var got document
	e.patch("/v1/executors/x", `{"name": null, "hostname": "h2", "annotations": {"a": null, "c": "3"}, "sessions": {"s": {"cmd": {"args": ["3"]}}, "t": {}},
		"diagnostics": {"sysLogConfig": null}}`, &got)
	for path, want := range map[string]any{
		"name": nil, "hostname": "h2", "annotations.a": nil, "annotations.b": "2", "annotations.c": "3", "sessions.s.cmd.path": "/p", "sessions.s.started": "true",
		"sessions.s.exitStatus": 7.0, "sessions.t.id": "t", "diagnostics.sysLogConfig": nil, "createTime": "2026-01-02T03:04:05.000000006Z",
	} {
		if v := got.at(strings.Split(path, ".")...); v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
	if v := got.at("sessions", "s", "cmd", "args"); !same(v, "[3]") {
		t.Errorf("args are %v", v)
	}
	if a := e.patch("/v1/executors/x", `{}`, nil); a.header.Get("ETag") != `"2-2"` {
		t.Errorf("an empty patch: %v", a.header)
	}
	// A daemon resets reports before a restart: that moves the second revision alone.
	if a := e.patch("/v1/executors/x", `{"sessions": {"s": {"started": null, "exitStatus": 0}}}`, &got); a.header.Get("ETag") != `"2-3"` || got.at("sessions", "s", "exitStatus") != 0.0 {
		t.Errorf("reset: %v %s", a.header, a.body)
	}
	e.patch("/v1/executors/x", `{"sessions": {"t": null}}`, &got)
	if got.at("sessions", "t") != nil {
		t.Errorf("the session is still there: %v", got)
	}
	e.refusedPatch(422, "/v1/executors/x", `{"id": "y"}`, "id")
	e.refusedPatch(422, "/v1/executors/x", `{"vm": {"driver": "vsphere", "ref": "vm1"}}`, "vm")
	e.refusedPatch(422, "/v1/executors/x", `{"vm": null}`, "vm")
	e.refusedPatch(422, "/v1/executors/x", `{"mounts": {"m": {"copyMode": "always"}}}`, "mounts.m.copyMode", "mounts.m.path", "mounts.m.source")
	e.refusedPatch(400, "/v1/executors/x", `{"sessions": {"s": {"cmd": {"argv": []}}}}`, "sessions.s.cmd.argv")
	e.refusedPatch(400, "/v1/executors/x", `{"name": 1}`, "name")
	e.refusedPatch(400, "/v1/executors/x", `{"name": "a", "name": "b"}`, "name")
	e.refusedPatch(400, "/v1/executors/x", `null`, "")
	e.patch("/v1/executors/x", `{"key": null, "createTime": null, "version": {"state": null}, "revision": null, "mounts": null, "annotations": {"none": null},
		"sessions": {"none": null, "s": {"detail": {"stopTime": null}, "diagnostics": {"exitLogs": null}}}}`, nil)
	e.refusedPatch(400, "/v1/executors/x", `{"zzz": null}`, "zzz")
	e.refusedPatch(400, "/v1/executors/x", `{"HOSTNAME": null}`, "HOSTNAME")
	e.refusedPatch(400, "/v1/executors/x", `{"sessions": {"s": {"detail": {"stoptime": null}}}}`, "sessions.s.detail.stoptime")
	e.refusedPatch(400, "/v1/executors/x", `{"sessions": {"none": {"exitstatus": null}}}`, "sessions.none.exitstatus")
	e.refusedPatch(400, "/v1/executors/x", `{"diagnostics": {"exitLogs": [null]}}`, "diagnostics.exitLogs.0")
	e.refusedPatch(400, "/v1/executors/x/sessions/s", `{"exitstatus": null, "detail": {"stopTime": null}}`, "exitstatus")
	e.expect(201, "POST", "/v1/networks", `{"name": "front"}`, nil)
	e.refusedPatch(400, "/v1/networks/front", `{"trustlevel": null}`, "trustlevel")
	e.expect(415, "PATCH", "/v1/executors/x", `{}`, nil)
	e.expect(404, "PATCH", "/v1/executors/y", `{}`, nil, "Content-Type", "application/merge-patch+json")
	deep := strings.Repeat(`{"sessions":`, 5_000) + `{}` + strings.Repeat(`}`, 5_000)
	e.refusedPatch(400, "/v1/executors/x", deep, "sessions.sessions.sessions")
	for _, open := range []string{`{"sessions":`, `[`} {
		a := e.expect(400, "PATCH", "/v1/executors/x", `{"name":`+strings.Repeat(open, 20_000), nil, "Content-Type", "application/merge-patch+json")
		if len(a.problem.Errors) != 1 || a.problem.Errors[0].Message != "is nested more deeply than any document of the API" {
			t.Errorf("%.200s", a.body)
		}
		a = e.expect(400, "PATCH", "/v1/executors/x", `{"name":`+strings.Repeat(open, maxDepth/2), nil, "Content-Type", "application/merge-patch+json")
		if strings.Contains(string(a.body), "deep") {
			t.Errorf("%.200s", a.body)
		}
	}
}

// TestFollowedNetwork: what an endpoint follows is the container network's, until the reference goes.
func TestFollowedNetwork(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/networks", `{"name": "front", "type": "bridge", "gateway": "10.1.0.1/16", "annotations": {"k": "v"}}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "networks": {"a": {"networkRef": "front", "network": {"type": "mine", "aliases": ["x:y"], "default": true}}}}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "y", "networks": {"b": {"networkRef": "front"}}}`, nil)
	var got document
	if a := e.patch("/v1/networks/front", `{"type": "external", "annotations": {"k": null, "l": "w"}}`, &got); a.header.Get("ETag") != `"4-4"` || got.at("annotations", "l") != "w" || got["gateway"] != "10.1.0.1/16" {
		t.Errorf("patched %v", got)
	}
	for _, target := range []string{"/v1/executors/x", "/v1/executors/y", "/v1/executors/x/networks/a", "/v1/executors/y/networks/b"} {
		if a := e.expect(200, "GET", target, "", &got); a.header.Get("ETag") != `"4-4"` || !strings.Contains(string(a.body), `"external"`) || strings.Contains(string(a.body), `"mine"`) {
			t.Errorf("%s: %s %s", target, a.header.Get("ETag"), a.body)
		}
	}
	e.patch("/v1/executors/x/networks/a", `{"networkRef": null}`, &got)
	if got["networkRef"] != nil || got.at("network", "type") != "external" || got.at("network", "default") != true || !same(got.at("network", "aliases"), "[x:y]") {
		t.Errorf("after the reference went: %v", got)
	}
	e.patch("/v1/networks/front", `{"type": "bridge"}`, nil)
	if e.expect(200, "GET", "/v1/executors/x/networks/a", "", &got); got.at("network", "type") != "external" {
		t.Errorf("it still follows: %v", got)
	}
	// An address is given once on a network.
	e.expect(200, "PUT", "/v1/executors/y/networks/b", `{"networkRef": "front", "static": true, "ip": "10.1.0.9/16"}`, nil)
	for _, body := range []string{`{"networkRef": "front", "static": true, "ip": "10.1.0.9/16"}`, `{"networkRef": "front", "static": true, "ip": "10.1.0.9/24"}`} {
		if a := e.refusedDetail(409, "address-taken", "PUT", "/v1/executors/x/networks/c", body); !strings.Contains(a.problem.Detail, "y/b") {
			t.Errorf("the holder is not named: %s", a.body)
		}
	}
	e.refused(422, "PUT", "/v1/executors/x/networks/c", `{"networkRef": "nowhere"}`, "networkRef")
}

func TestUniqueNames(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors?unique=name", `{"id": "x", "name": "web"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "y", "name": "web"}`, nil)
	for method, target := range map[string]string{"POST": "/v1/executors?unique=name", "PUT": "/v1/executors/z?unique=name"} {
		if a := e.refusedDetail(409, "name-taken", method, target, `{"name": "web"}`); !strings.Contains(a.problem.Detail, `"x"`) && !strings.Contains(a.problem.Detail, `"y"`) {
			t.Errorf("the holder is not named: %s", a.body)
		}
	}
	e.expect(201, "PUT", "/v1/executors/z?unique=name", `{"name": "db"}`, nil)
	a := e.expect(409, "PATCH", "/v1/executors/z?unique=name", `{"name": "web"}`, nil, "Content-Type", "application/merge-patch+json")
	if a.problem.Type != problemTypes+"name-taken" {
		t.Errorf("rename: %s", a.body)
	}
	e.patch("/v1/executors/z?unique=name", `{"name": "db2"}`, nil)
	e.expect(201, "POST", "/v1/executors?unique=name", `{"name": "db"}`, nil)
	e.refused(400, "POST", "/v1/executors?unique=id", `{}`, "unique")
}

// TestConditions: entity tags and their rules, on every kind of resource.
func TestConditions(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/networks", `{"name": "n"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "sessions": {"s": {}}, "vm": {"driver": "vsphere", "ref": "vm1"}}`, nil)
	for target, doc := range map[string]string{
		"/v1/networks/n": `{"type": "%s"}`, "/v1/executors/x": `{"hostname": "%s", "sessions": {"s": {}}}`, "/v1/executors/x/sessions/s": `{"user": "%s"}`,
		"/v1/executors/x/vm": `{"driver": "vsphere", "ref": "vm1", "version": "%s"}`,
	} {
		tag := e.expect(200, "GET", target, "", nil).header.Get("ETag")
		for header, status := range map[string]int{tag: 304, "W/" + tag: 304, `"a", ` + tag: 304, "*": 304, `"1-99"`: 200} {
			a := e.expect(status, "GET", target, "", nil, "If-None-Match", header)
			if a.header.Get("ETag") != tag || (status == 304 && len(a.body) > 0) {
				t.Errorf("GET %s with If-None-Match %s: %v %s", target, header, a.header, a.body)
			}
		}
		for i, stale := range []string{`"99-99"`, `"a"`, "W/" + tag, `""`} {
			a := e.expect(412, "PUT", target, fmt.Sprintf(doc, fmt.Sprint("stale", i)), nil, "If-Match", stale)
			if a.header.Get("ETag") != tag {
				t.Errorf("PUT %s with If-Match %s: ETag %s, want %s", target, stale, a.header.Get("ETag"), tag)
			}
			e.expect(412, "DELETE", target, "", nil, "If-Match", stale)
		}
		e.expect(412, "PUT", target, fmt.Sprintf(doc, "new"), nil, "If-None-Match", "*")
		e.expect(400, "PUT", target, fmt.Sprintf(doc, "new"), nil, "If-None-Match", tag)
		e.expect(400, "PUT", target, fmt.Sprintf(doc, "new"), nil, "If-Match", "7-9")
		e.expect(400, "PUT", target, fmt.Sprintf(doc, "new"), nil, "If-Match", "")
		e.expect(400, "PUT", target, fmt.Sprintf(doc, "new"), nil, "If-None-Match", "")
		e.expect(400, "DELETE", target, "", nil, "If-Match", "")
		e.expect(400, "GET", target, "", nil, "If-None-Match", "")
		next := e.expect(200, "PUT", target, fmt.Sprintf(doc, "a"), nil, "If-Match", `"99-99", `+tag).header.Get("ETag")
		if next == tag {
			t.Errorf("%s: the tag stayed %s", target, tag)
		}
		e.expect(412, "PUT", target, fmt.Sprintf(doc, "b"), nil, "If-Match", tag)
		e.expect(200, "PUT", target, fmt.Sprintf(doc, "b"), nil, "If-Match", "*")
	}
	for _, absent := range [][2]string{
		{"/v1/networks/m", `{}`}, {"/v1/executors/y", `{}`}, {"/v1/executors/y/mounts/m", `{"path": "/m", "source": "label:///x"}`},
		{"/v1/executors/y/vm", `{"driver": "vsphere", "ref": "vm2"}`},
	} {
		target, doc := absent[0], absent[1]
		if a := e.expect(412, "PUT", target, doc, nil, "If-Match", "*"); a.header.Get("ETag") != "" {
			t.Errorf("PUT %s with If-Match *: %v", target, a.header)
		}
		e.expect(201, "PUT", target, doc, nil, "If-None-Match", "*")
	}
}

// TestReportsAndConditions: a guest that reports makes no client retry, unless the client changes reports.
func TestReportsAndConditions(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "sessions": {"s": {}}}`, nil)
	e.patch("/v1/executors/x", `{"sessions": {"s": {"exitStatus": 3}}}`, nil) // as a report does
	for _, target := range []string{"/v1/executors/x", "/v1/executors/x/sessions/s"} {
		if got := e.expect(200, "GET", target, "", nil).header.Get("ETag"); got != `"1-2"` {
			t.Errorf("%s has %s", target, got)
		}
	}
	merge := []string{"Content-Type", "application/merge-patch+json", "If-Match", `"1-1"`}
	e.expect(412, "PATCH", "/v1/executors/x", `{"sessions": {"s": {"exitStatus": 0}}}`, nil, merge...)
	e.expect(412, "PATCH", "/v1/executors/x/sessions/s", `{"started": null}`, nil, merge...)
	e.expect(412, "PATCH", "/v1/executors/x/sessions/s", `{"detail": {"stopTime": null}}`, nil, merge...)
	e.expect(412, "PATCH", "/v1/executors/x", `{"diagnostics": {"exitLogs": []}}`, nil, merge...)
	e.expect(200, "PATCH", "/v1/executors/x/sessions/s", `{"user": "a"}`, nil, merge...)
	if got := e.expect(200, "PUT", "/v1/executors/x", `{"sessions": {"s": {"user": "b"}}}`, nil, "If-Match", `"3-1"`).header.Get("ETag"); got != `"4-4"` {
		t.Errorf("PUT: %s", got)
	}
}

func TestSchemaKeys(t *testing.T) {
	e := newEdge(t)
	var schema struct {
		Fields []struct {
			Field, Key, Scope, Type string
			Secret, NonPersistent   bool
		}
	}
	e.expect(200, "GET", "/v1/schema/keys", "", &schema)
	seen := map[string]string{}
	for _, f := range schema.Fields {
		seen[f.Field] = fmt.Sprint(f.Key, " ", f.Scope, " ", f.Secret, " ", f.NonPersistent)
	}
	for field, want := range map[string]string{
		"id":                    "guestinfo.vice./common/id read-only false false",
		"notes":                 "common/notes hidden false false",
		"sessions.*.exitStatus": "guestinfo.vice..sessions|*.status read-write false false",
		"execs.*.cmd.args":      "guestinfo.vice./execs|*/cmd/Args@non-persistent read-only false true",
	} {
		if seen[field] != want {
			t.Errorf("%s is %q, want %q", field, seen[field], want)
		}
	}
}
