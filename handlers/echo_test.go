package handlers

import (
	"strings"
	"testing"
)

// TestNothingIsEchoed: what is refused is named, and not repeated, neither in the answer nor in the log.
func TestNothingIsEchoed(t *testing.T) {
	c := newSecretsTest(t)
	c.prepare()
	const x = "/v1/executors/web-1"
	long := strings.Repeat("CANARYCANARYCANARYCANARY", 8<<10)
	mount := func(source string) string { return `{"mounts": {"m": {"source": "` + source + `", "path": "/m"}}}` }
	for _, w := range []struct {
		status               int
		method, target, body string
	}{
		{400, "PUT", x, `{"key": "CANARY-which is no base64"}`},
		{400, "PUT", x, `{"key": "CANARYCANARY="}`},
		{400, "PUT", x, `{"key": ["CANARY"]}`},
		{400, "PUT", x, `{"key": {"CANARY": 1}}`},
		{400, "PUT", x, `{"key": "CANARY`},
		{400, "PUT", x, `{"key": "CANARY\q"}`},
		{400, "PUT", x, `{"key": "CANARY" "CANARY"}`},
		{400, "PUT", x, `{"key": CANARY}`},
		{400, "PUT", x, `{"key": "Q0FOQVJZ", "key": "Q0FOQVJZ"} CANARY`},
		{400, "PUT", x, `"CANARY"`},
		{422, "PUT", x, `{"key": "` + long + `"}`},
		{422, "PUT", x, mount("nfs://u:CANARY@host/" + long)},
		{422, "PUT", x, mount("nfs://u:CANARY@[::1/x")},
		{422, "PUT", x, mount("nfs://u:CANARY@host:port/x")},
		{422, "PUT", x, mount("nfs://u:CANARY%zz@host/x")},
		{422, "PUT", x, mount("nfs://u:CANARY@host/x#CANARY")},
		{422, "PUT", x, mount("nfs://u:CANARY@host/x\\u0007")},
		{422, "PUT", x, mount("nfs:u:CANARY@host")},
		{422, "PUT", x, mount("label://u:CANARY@disk")},
		{422, "PUT", x, mount("CANARY")},
		{422, "PUT", x, `{"mounts": {"m": {"source": "nfs://u:CANARY@host/x", "path": "relative"}}}`},
		{422, "PUT", x, `{"mounts": {"m": {"source": "nfs://u:CANARY@host/x", "path": "/m", "copyMode": "CANARY"}}}`},
		{400, "PUT", x, `{"mounts": {"m": {"source": ["nfs://u:CANARY@host/x"], "path": "/m"}}}`},
		{400, "PUT", x, `{"notes": 5, "sessions": {"s": {"exitStatus": "CANARY"}}}`},
		{400, "PUT", x, `{"createTime": "CANARY"}`},
		{422, "PUT", x, `{"hostname": "CANARY\u0007", "annotations": {"a": "CANARY\u0007"}, "notes": "<nil>"}`},
		{422, "PUT", x, `{"id": "!CANARY"}`},
		{422, "PUT", x, `{"networks": {"n": {"ip": "CANARY", "ports": ["CANARY"], "network": {"gateway": "CANARY", "pools": ["CANARY"], "trustLevel": "CANARY"}}}}`},
		{422, "PUT", x + "/mounts/data", `{"source": "nfs://u:CANARY@[::1/x", "path": "/m"}`},
		{422, "PATCH", x, mount("nfs://u:CANARY@[::1/x")},
		{400, "PATCH", x, `{"key": "CANARY-which is no base64"}`},
		{400, "PATCH", x, `{"mounts": "CANARY"}`},
		{400, "PATCH", x, `{"key": "CANARY`},
		{422, "PATCH", x, `{"mounts": {"data": {"path": "relative"}}}`},
		{422, "PATCH", x, `{"mounts": {"twin": {"source": "label:///x", "path": "/srv"}}}`},
		{400, "PATCH", x, `{"unknown": 1}`},
		{422, "PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm1", "interaction": "CANARY:CANARY"}`},
		{422, "PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm1", "interaction": "tcp://u:CANARY@[::1"}`},
		{422, "PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm1", "interaction": "tcp://u:CANARY@"}`},
		{400, "PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm1", "agentKey": "CANARY-which is no base64"}`},
		{422, "PUT", x + "/vm", `{"driver": "CANARY", "ref": "vm1"}`},
		{400, "GET", "/v1/executors?limit=CANARY", ""},
		{400, "GET", "/v1/executors?continue=CANARY", ""},
		{400, "GET", "/v1/executors?unknown=CANARY", ""},
		{400, "GET", "/v1/executors?name=CANARY%zz", ""},
		{400, "GET", "/v1/executors?state=CANARY", ""},
		{400, "GET", x + "?wait=CANARY", ""},
		{400, "GET", x + "?since=CANARY", ""},
		{400, "GET", x + "/keys?view=CANARY", ""},
		{400, "POST", x + "/push?dryRun=CANARY", ""},
		{200, "GET", "/v1/executors?name=CANARY", ""},
	} {
		headers := "Content-Type: application/json"
		if w.method == "PATCH" {
			headers = "Content-Type: application/merge-patch+json"
		}
		for _, role := range []string{"admin", "operator"} {
			c.log.Reset()
			a := c.as(role, w.method, w.target, headers, w.body)
			what := w.method + " " + w.target + " " + w.body[:min(len(w.body), 100)]
			if a.status != w.status {
				t.Errorf("%s as %s: %d %s, want %d", what, role, a.status, a.body, w.status)
			}
			if found := c.secretIn(string(a.body)); found != "" && a.status >= 400 {
				t.Errorf("%s as %s: the answer has %s: %s", what, role, found, a.body)
			}
			if found := c.secretIn(c.log.String()); found != "" {
				t.Errorf("%s as %s: the log has %s: %s", what, role, found, c.log)
			}
		}
	}
}
