package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/models"
)

const (
	patchType = "application/merge-patch+json"
	aNetwork  = `{"name": "front", "type": "bridge", "gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"], "pools": ["10.1.1.0/24"], "annotations": {"team": "shop"}}`
	anEndpt   = `{"networkRef": "front", "static": true, "ip": "10.1.0.2/16", "ports": ["8080:80/tcp"]}`
	aSession  = `{"cmd": {"path": "/bin/httpd", "args": ["httpd", "-f"]}, "tty": true, "exitStatus": 3, "detail": {"startTime": "2026-01-02T03:04:05Z"}}`
	anExec    = `{"name": "web", "annotations": {"team": "shop"}, "createTime": "2026-01-02T03:04:05.000000006Z", "key": "c2VjcmV0", "sessions": {"main": ` + aSession + `}}`
	aBinding  = `{"driver": "vsphere", "ref": "vm1", "aliases": {"a": "b"}, "agentKey": "c2VjcmV0"}`
)

// TestContract makes requests of every operation, and of most kinds of mistake, to the real binary: each is answered with the
// status that belongs to it, and stands before the second opinion. Where that, going by the specification alone, should see the mistake
// too, the step says so.
func TestContract(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	for _, step := range []struct {
		status       int
		method, path string
		body         string
		headers      []string
		forbidden    bool // by the specification itself
	}{
		{status: 200, method: "GET", path: "/healthz"},
		{status: 200, method: "GET", path: "/readyz"},
		{status: 200, method: "GET", path: "/v1/version"},
		{status: 200, method: "GET", path: "/v1/schema/keys"},
		{status: 200, method: "GET", path: "/v1/backup"},

		{status: 201, method: "POST", path: "/v1/networks", body: aNetwork},
		{status: 409, method: "POST", path: "/v1/networks", body: aNetwork},
		{status: 201, method: "PUT", path: "/v1/networks/back", body: `{}`},
		{status: 200, method: "PUT", path: "/v1/networks/back", body: `{"notes": "for databases"}`},
		{status: 412, method: "PUT", path: "/v1/networks/back", body: `{}`, headers: []string{"If-None-Match", "*"}},
		{status: 422, method: "PUT", path: "/v1/networks/back", body: `{"name": "front"}`},
		{status: 422, method: "PUT", path: "/v1/networks/back", body: `{"trustLevel": "none"}`, forbidden: true},
		{status: 200, method: "PATCH", path: "/v1/networks/back", body: `{"annotations": {"team": "data"}}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/networks?annotation=team=data&limit=1"},
		{status: 200, method: "GET", path: "/v1/networks/back"},
		{status: 304, method: "GET", path: "/v1/networks/back", headers: []string{"If-None-Match", "*"}},

		{status: 201, method: "POST", path: "/v1/executors", body: anExec},
		{status: 201, method: "POST", path: "/v1/executors?unique=name", body: `{"id": "a", "name": "db"}`},
		{status: 409, method: "POST", path: "/v1/executors?unique=name", body: `{"name": "db"}`},
		{status: 400, method: "POST", path: "/v1/executors?unique=id", body: `{}`, forbidden: true},
		{status: 422, method: "POST", path: "/v1/executors", headers: []string{"Content-Type", "application/json"}, forbidden: true},
		{status: 415, method: "POST", path: "/v1/executors", body: `{}`, headers: []string{"Content-Type", "text/plain"}, forbidden: true},
		{status: 400, method: "POST", path: "/v1/executors", body: `{"tty": true}`},
		{status: 400, method: "POST", path: "/v1/executors", body: `{"name": `, forbidden: true},
		{status: 400, method: "POST", path: "/v1/executors", body: `{"name": 5}`, forbidden: true},
		{status: 400, method: "POST", path: "/v1/executors", body: `[]`, forbidden: true},
		{status: 413, method: "POST", path: "/v1/executors", body: `{"notes": "` + strings.Repeat("x", 1<<20) + `"}`},
		{status: 200, method: "PUT", path: "/v1/executors/a", body: `{"name": "db", "hostname": "db"}`},
		{status: 201, method: "PUT", path: "/v1/executors/b", body: `{}`, headers: []string{"If-None-Match", "*"}},
		{status: 412, method: "PUT", path: "/v1/executors/a", body: `{}`, headers: []string{"If-Match", `"1-1"`}},
		{status: 422, method: "PUT", path: "/v1/executors/a", body: `{"mounts": {"data": {"source": "label:///data", "path": "srv"}}}`},
		{status: 400, method: "PUT", path: "/v1/executors/-a", body: `{}`, forbidden: true},
		{status: 200, method: "PATCH", path: "/v1/executors/a", body: `{"hostname": null}`, headers: []string{"Content-Type", patchType}},
		{status: 415, method: "PATCH", path: "/v1/executors/a", body: `{"hostname": null}`, forbidden: true},
		{status: 412, method: "PATCH", path: "/v1/executors/a", body: `{"hostname": "x"}`, headers: []string{"Content-Type", patchType, "If-Match", `"1-1"`}},
		{status: 404, method: "PATCH", path: "/v1/executors/none", body: `{}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/executors"},
		{status: 200, method: "GET", path: "/v1/executors?limit=1&state=unbound&annotation=team&annotation=team=shop&idPrefix=a"},
		{status: 400, method: "GET", path: "/v1/executors?limit=0", forbidden: true},
		{status: 400, method: "GET", path: "/v1/executors?limit=many", forbidden: true},
		{status: 400, method: "GET", path: "/v1/executors?state=well", forbidden: true},
		{status: 400, method: "GET", path: "/v1/executors?stat=synced"},
		{status: 200, method: "GET", path: "/v1/executors/a"},
		{status: 304, method: "GET", path: "/v1/executors/a", headers: []string{"If-None-Match", "*"}},
		{status: 406, method: "GET", path: "/v1/executors/a", headers: []string{"Accept", "text/html"}},
		{status: 406, method: "POST", path: "/v1/executors", body: `{"id": "unaccepted"}`, headers: []string{"Accept", "text/html"}},
		{status: 406, method: "PUT", path: "/v1/executors/unaccepted", body: `{}`, headers: []string{"Accept", "text/html"}},
		{status: 406, method: "PATCH", path: "/v1/executors/a", body: `{"name": "unaccepted"}`, headers: []string{"Content-Type", patchType, "Accept", "text/html"}},
		{status: 404, method: "GET", path: "/v1/executors/unaccepted"},
		{status: 304, method: "GET", path: "/v1/executors/a?wait=1ms", headers: []string{"If-None-Match", "*"}},
		{status: 200, method: "GET", path: "/v1/executors/a?wait=1m&since=0"},
		{status: 400, method: "GET", path: "/v1/executors/a?wait=1m"},
		{status: 400, method: "GET", path: "/v1/executors/a?wait=1h&since=0"},
		{status: 400, method: "GET", path: "/v1/executors/a?since=1000000"},
		{status: 400, method: "GET", path: "/v1/executors/a?since=never", forbidden: true},
		{status: 404, method: "GET", path: "/v1/executors/none?wait=1m&since=0"},
		{status: 405, method: "POST", path: "/v1/executors/a", body: `{}`, forbidden: true},
		{status: 404, method: "GET", path: "/v1/executors/none"},
		{status: 404, method: "GET", path: "/v1/nothing", forbidden: true},

		{status: 201, method: "PUT", path: "/v1/executors/a/sessions/main", body: aSession},
		{status: 200, method: "PUT", path: "/v1/executors/a/sessions/main", body: `{}`},
		{status: 200, method: "PATCH", path: "/v1/executors/a/sessions/main", body: `{"started": "true"}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/executors/a/sessions/main"},
		{status: 200, method: "GET", path: "/v1/executors/a/sessions"},
		{status: 422, method: "PUT", path: "/v1/executors/a/sessions/main", body: `{"id": "other"}`},
		{status: 404, method: "PUT", path: "/v1/executors/none/sessions/main", body: `{}`},
		{status: 412, method: "DELETE", path: "/v1/executors/a/sessions/main", headers: []string{"If-Match", `"1-1"`}},
		{status: 204, method: "DELETE", path: "/v1/executors/a/sessions/main"},
		{status: 404, method: "DELETE", path: "/v1/executors/a/sessions/main"},

		{status: 201, method: "PUT", path: "/v1/executors/a/execs/e1", body: aSession},
		{status: 200, method: "PATCH", path: "/v1/executors/a/execs/e1", body: `{"active": true}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/executors/a/execs/e1"},
		{status: 200, method: "GET", path: "/v1/executors/a/execs"},
		{status: 204, method: "DELETE", path: "/v1/executors/a/execs/e1"},

		{status: 201, method: "PUT", path: "/v1/executors/a/mounts/data", body: `{"source": "nfs://u:p@host/export?ro", "path": "/srv", "copyMode": "never"}`},
		{status: 422, method: "PUT", path: "/v1/executors/a/mounts/data", body: `{"copyMode": "always"}`, forbidden: true},
		{status: 422, method: "PUT", path: "/v1/executors/a/mounts/more", body: `{"source": "label:///more", "path": "/srv"}`},
		{status: 200, method: "PATCH", path: "/v1/executors/a/mounts/data", body: `{"mode": "ro"}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/executors/a/mounts/data"},
		{status: 200, method: "GET", path: "/v1/executors/a/mounts"},
		{status: 204, method: "DELETE", path: "/v1/executors/a/mounts/data"},

		{status: 201, method: "PUT", path: "/v1/executors/a/networks/eth0", body: anEndpt},
		{status: 409, method: "PUT", path: "/v1/executors/b/networks/eth0", body: anEndpt},
		{status: 422, method: "PUT", path: "/v1/executors/a/networks/eth1", body: `{"networkRef": "none"}`},
		{status: 422, method: "PUT", path: "/v1/executors/a/networks/eth1", body: `{"ports": ["eighty"]}`, forbidden: true},
		{status: 200, method: "PATCH", path: "/v1/executors/a/networks/eth0", body: `{"assigned": "10.1.0.2/16"}`, headers: []string{"Content-Type", patchType}},
		{status: 200, method: "GET", path: "/v1/executors/a/networks/eth0"},
		{status: 200, method: "GET", path: "/v1/executors/a/networks"},
		{status: 409, method: "DELETE", path: "/v1/networks/front"},
		{status: 204, method: "DELETE", path: "/v1/executors/a/networks/eth0"},

		{status: 409, method: "POST", path: "/v1/executors/a/push"},
		{status: 201, method: "PUT", path: "/v1/executors/a/vm", body: aBinding},
		{status: 409, method: "PUT", path: "/v1/executors/b/vm", body: aBinding},
		{status: 400, method: "PUT", path: "/v1/executors/b/vm?takeOver=perhaps", body: aBinding, forbidden: true},
		{status: 422, method: "PUT", path: "/v1/executors/b/vm", body: `{"driver": "paper", "ref": "vm2"}`, forbidden: true},
		{status: 200, method: "GET", path: "/v1/executors/a/vm"},
		{status: 200, method: "POST", path: "/v1/executors/a/push"},
		{status: 200, method: "POST", path: "/v1/executors/a/push?dryRun=true"},
		{status: 200, method: "GET", path: "/v1/executors/a/status"},
		{status: 200, method: "GET", path: "/v1/executors/a/keys?scope=guest"},
		{status: 200, method: "GET", path: "/v1/executors/a/keys?view=observed&scope=hidden"},
		{status: 200, method: "GET", path: "/v1/executors/a/keys?view=diff"},
		{status: 409, method: "GET", path: "/v1/executors/b/keys?view=diff"},
		{status: 400, method: "GET", path: "/v1/executors/a/keys?scope=secret", forbidden: true},
		{status: 400, method: "GET", path: "/v1/executors/a/keys?view=all", forbidden: true},
		{status: 204, method: "DELETE", path: "/v1/executors/a/vm"},

		{status: 406, method: "GET", path: "/v1/watch", headers: []string{"Accept", "application/json"}},
		{status: 400, method: "GET", path: "/v1/watch?since=1000000"},
		{status: 400, method: "GET", path: "/v1/watch?since=never", forbidden: true},
		{status: 400, method: "GET", path: "/v1/watch?kind=session", forbidden: true},
		{status: 400, method: "GET", path: "/v1/watch?executor=-a", forbidden: true},
		{status: 400, method: "GET", path: "/v1/watch?heartbeat=1h"},

		{status: 204, method: "DELETE", path: "/v1/executors/a"},
		{status: 404, method: "DELETE", path: "/v1/executors/a"},
		{status: 204, method: "DELETE", path: "/v1/networks/front"},
	} {
		r, err := s.request(step.method, step.path, step.body, step.headers...)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.opinion.allowed(r); (err != nil) != step.forbidden {
			t.Errorf("%s %s %.80s: the specification forbids it: %t, the second opinion: %v", step.method, step.path, step.body, step.forbidden, err)
		}
		a := s.do(step.method, step.path, step.body, step.headers...)
		if a.status != step.status {
			t.Errorf("%s %s %.80s: %d %s, want %d", step.method, step.path, step.body, a.status, a.body, step.status)
		}
		if a.status < 400 {
			continue
		}
		var p problem
		if err := json.Unmarshal(a.body, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d is no problem document: %s", step.method, step.path, a.status, a.body)
		}
		if want := cmp.Or(http.StatusText(a.status), "?"); p.Status != a.status || p.Title != want {
			t.Errorf("%s %s: %d %s", step.method, step.path, a.status, a.body)
		}
	}
	var last models.Event
	s.watch("/v1/watch?since=0&heartbeat=1m", func(e *models.Event) bool { // all that was done above
		if e.Action != models.EventActionHeartbeat && e.Revision != last.Revision+1 {
			t.Errorf("after revision %d comes %d", last.Revision, e.Revision)
		}
		last = *e
		return e.Kind == models.EventKindNetwork && e.Action == models.EventActionDelete
	})
	for _, operation := range s.opinion.operations() {
		if !s.opinion.seen[operation] {
			t.Errorf("%s did not succeed once", operation)
		}
	}
	s.terminate()
}
