package handlers

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-openapi/spec"
)

// fixtures are what the seeds are about. PUT makes them, and again when a seed changed them.
var fixtures = []struct{ target, body string }{
	{"/v1/networks/front", `{"gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"], "pools": ["10.1.1.0-10.1.1.255"]}`},
	{"/v1/networks/back", `{"annotations": {"team": "shop"}}`},
	{"/v1/executors/web-1", seedExecutor},
	{"/v1/executors/web-1/vm", `{"driver": "vsphere", "ref": "vm1"}`},
	{"/v1/executors/db-1", `{"name": "db", "annotations": {"team": "data"}}`},
}

// seedExecutor is an executor with something of everything.
const seedExecutor = `{
	"name": "web", "executionEnvironment": "cluster", "notes": "ours", "createTime": "2026-01-02T03:04:05.000000006Z", "key": "c2VjcmV0",
	"layerId": "l", "imageId": "i", "repoName": "shop/web:1.2", "asymmetricRouting": true, "hostname": "web-1", "domainname": "example.com",
	"annotations": {"team": "shop"}, "version": {"version": "1", "pluginVersion": 7},
	"diagnostics": {"debugLevel": 1, "resurrectionCount": 2, "exitLogs": [{"time": "2026-01-02T03:04:05Z", "exitStatus": 1, "message": "m"}], "sysLogConfig": {"network": "udp", "rAddr": "10.1.0.9:514"}},
	"sessions": {"main": ` + seedSession + `},
	"execs": {"e1": {"cmd": {"path": "/bin/sh"}}},
	"mounts": {"data": {"source": "nfs://user:password@host/export?ro", "path": "/srv", "mode": "ro", "copyMode": "never"}},
	"networks": {"eth0": {"networkRef": "front", "static": true, "ip": "10.1.0.2/16", "assigned": "10.1.0.2/16", "ports": ["8080:80/tcp"], "network": {"aliases": ["web:www"], "default": true, "assigned": {"gateway": "10.1.0.1/16"}}},
		"eth1": {"network": {"name": "own", "type": "bridge", "destinations": ["10.0.0.0/8"], "gateway": "fd00::1/64", "pools": ["fd00::10-fd00::20"], "trustLevel": "open"}}}
}`

const seedSession = `{"name": "m", "cmd": {"path": "/bin/httpd", "args": ["httpd", "-f"], "env": ["PORT=80"], "dir": "/"}, "active": true, "tty": true,
	"stopSignal": "SIGTERM", "user": "www", "exitStatus": 3, "started": "true", "detail": {"startTime": "2026-01-02T03:04:05Z"}}`

// seedBodies are valid ones by the operation, or its tag; those of a PATCH by "patch" and the tag.
var seedBodies = map[string]string{
	"createExecutor":  strings.Replace(strings.ReplaceAll(seedExecutor, "10.1.0.2/", "10.1.0.7/"), "{", `{"vm": {"driver": "vsphere", "ref": "vm2"},`, 1),
	"createNetwork":   `{"name": "new", "gateway": "10.3.0.1/16", "annotations": {"team": "shop"}, "createTime": "2026-01-02T03:04:05Z"}`,
	"executors":       seedExecutor,
	"sessions":        seedSession,
	"execs":           seedSession,
	"mounts":          `{"source": "label:///data", "path": "/data", "copyMode": "new"}`,
	"endpoints":       `{"networkRef": "front", "static": true, "ip": "10.1.0.3/16"}`,
	"networks":        `{"type": "bridge", "gateway": "10.2.0.1/16", "pools": ["10.2.1.0/24"], "trustLevel": "closed"}`,
	"vm":              `{"driver": "vsphere", "ref": "vm1", "version": "1", "aliases": {"a": "b"}, "interaction": "tcp://host:2377", "agentKey": "c2VjcmV0"}`,
	"patch executors": `{"hostname": null, "annotations": {"team": null, "a": "b"}, "sessions": {"main": {"started": null, "exitStatus": 0}, "side": {"cmd": {"path": "/bin/true"}}}, "mounts": null}`,
	"patch sessions":  `{"started": null, "cmd": {"args": ["httpd"]}, "detail": null}`,
	"patch execs":     `{"active": true, "diagnostics": {"debugLevel": 2}}`,
	"patch mounts":    `{"mode": null, "copyMode": "new"}`,
	"patch endpoints": `{"networkRef": null, "assigned": "10.1.0.9/16"}`,
	"patch networks":  `{"annotations": {"team": null, "a": "b"}, "nameservers": ["10.1.0.54"]}`,
}

// seedNames stand in paths, by what is before them; seedParameters in queries and headers, by name.
var (
	seedNames      = map[string]string{"executors": "web-1", "sessions": "main", "execs": "e1", "mounts": "data", "networks": "eth0"}
	seedParameters = map[string]string{
		"limit": "1", "continue": "x", "name": "web", "idPrefix": "web", "lookup": "web", "annotation": "team=shop", "network": "front", "driver": "vsphere", "state": "pending",
		"unique": "name", "takeOver": "true", "dryRun": "true", "scope": "guest", "view": "observed", "If-Match": `"1-1"`, "If-None-Match": "*",
		"since": "1", "wait": "1ms", "kind": "executor", "executor": "web-1", "heartbeat": "1s",
	}
)

// seed is a request, with its headers as lines.
type seed struct{ operation, method, target, headers, body string }

// seeds are valid requests of every operation: one with no more than it needs, and one with each of its parameters. A parameter or body
// that is not known here fails the test: nobody would find out that it is not tried.
func seeds(t testing.TB) (plain, varied []seed) {
	t.Helper()
	for pattern, item := range specification().Paths.Paths {
		for method, op := range operationsOf(item) {
			s := seed{operation: op.ID, method: method, target: seedTarget(t, pattern)}
			parameters := append(append([]spec.Parameter(nil), item.Parameters...), op.Parameters...)
			for _, p := range parameters {
				if p.In == "body" {
					s.headers, s.body = seedBody(t, method, op)
				}
			}
			plain = append(plain, s)
			for _, p := range parameters {
				if p.In == "query" || p.In == "header" {
					varied = append(varied, withParameter(t, s, p))
				}
			}
		}
	}
	for _, list := range [][]seed{plain, varied} {
		slices.SortFunc(list, func(a, b seed) int {
			return cmp.Or(cmp.Compare(a.operation, b.operation), cmp.Compare(a.target, b.target), cmp.Compare(a.headers, b.headers))
		})
	}
	return plain, varied
}

// operationsOf are those of a path, by method.
func operationsOf(item spec.PathItem) map[string]*spec.Operation {
	all := map[string]*spec.Operation{
		http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}
	maps.DeleteFunc(all, func(_ string, op *spec.Operation) bool { return op == nil })
	return all
}

// seedTarget fills the names into a path. A network is one that nobody follows: it can be deleted.
func seedTarget(t testing.TB, pattern string) string {
	t.Helper()
	steps := strings.Split(pattern, "/")
	for i, step := range steps {
		if !strings.HasPrefix(step, "{") {
			continue
		}
		if steps[i] = seedNames[steps[i-1]]; steps[i] == "" {
			t.Fatalf("no name for %s", pattern)
		}
		if pattern == "/v1/networks/{name}" {
			steps[i] = "back"
		}
	}
	return strings.Join(steps, "/")
}

func seedBody(t testing.TB, method string, op *spec.Operation) (headers, body string) {
	t.Helper()
	key, media := op.Tags[0], "application/json"
	if method == http.MethodPatch {
		key, media = "patch "+key, "application/merge-patch+json"
	}
	if seedBodies[op.ID] != "" {
		key = op.ID
	}
	if seedBodies[key] == "" {
		t.Fatalf("no body for %s", op.ID)
	}
	return "Content-Type: " + media, seedBodies[key]
}

// withParameter is a seed that has a parameter, too.
func withParameter(t testing.TB, s seed, p spec.Parameter) seed {
	t.Helper()
	value := seedParameters[p.Name]
	if value == "" {
		t.Fatalf("no value for parameter %s of %s", p.Name, s.operation)
	}
	if p.In == "query" {
		s.target += "?" + p.Name + "=" + value
	} else {
		s.headers += "\n" + p.Name + ": " + value
	}
	return s
}
