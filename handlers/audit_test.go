package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/audit"
)

// takeLines gives the lines of the trail since the last time. Each must be whole, and have no field that there is not.
func (e *edgeTest) takeLines() (lines []audit.Entry) {
	e.Helper()
	for line := range strings.Lines(e.audited.String()) {
		var entry audit.Entry
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&entry); err != nil || entry.Time.IsZero() {
			e.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, entry)
	}
	e.audited.Reset()
	return lines
}

// audits makes a request as one of the roles, and gives its one line.
func (c *callersTest) audits(role string, s seed) (*answer, audit.Entry) {
	c.Helper()
	c.takeLines()
	a := c.as(role, s.method, s.target, s.headers, s.body)
	lines := c.takeLines()
	if len(lines) != 1 {
		c.Fatalf("%s as %q has %d lines: %+v", s.operation, role, len(lines), lines)
	}
	line := lines[0]
	wantRole, actor := role, "test-"+strings.ReplaceAll(role, ":", "-")
	if role == "" {
		actor = ""
	}
	path, _, _ := strings.Cut(s.target, "?")
	if made := a.header.Get("Location"); made != "" {
		path = made
	}
	if line.Actor != actor || line.Role != wantRole || line.Source != "192.0.2.1:1234" || line.Operation != s.operation || line.Resource != path ||
		line.Status != a.status || line.Request != a.header.Get("X-Request-Id") {
		c.Errorf("%s as %q: %d has the line %+v", s.operation, role, a.status, line)
	}
	if line.Outcome != audit.Done && (line.Before != 0 || line.After != 0 || len(line.Fields) > 0) {
		c.Errorf("%s as %q changed nothing, and its line says %+v", s.operation, role, line)
	}
	return a, line
}

// conflicts are requests that are in the way of something that there is, by operation: other operations have no conflicts.
var conflicts = map[string]seed{
	"createExecutor": {target: "/v1/executors", body: `{"id": "web-1"}`},
	"putExecutor":    {target: "/v1/executors/new?unique=name", body: `{"name": "web"}`},
	"patchExecutor":  {target: "/v1/executors/db-1?unique=name", body: `{"name": "web"}`},
	"createNetwork":  {target: "/v1/networks", body: `{"name": "front"}`},
	"deleteNetwork":  {target: "/v1/networks/front"},
	"putEndpoint":    {target: "/v1/executors/db-1/networks/eth0", body: `{"networkRef": "front", "static": true, "ip": "10.1.0.2/16"}`},
	"patchEndpoint":  {target: "/v1/executors/db-1/networks/e", body: `{"ip": "10.1.0.2/16"}`},
	"putVM":          {target: "/v1/executors/db-1/vm", body: `{"driver": "vsphere", "ref": "vm1"}`},
	"push":           {target: "/v1/executors/db-1/push"},
}

// TestAuditOfOperations: every operation that changes something has one line, whatever comes of it, with who, what, and what became of it.
func TestAuditOfOperations(t *testing.T) {
	plain, _ := seeds(t)
	tried := map[string]int{}
	for _, s := range plain {
		if s.method == http.MethodGet {
			continue
		}
		t.Run(s.operation, func(t *testing.T) {
			c := newCallersTest(t)
			c.runReconciler(t)
			c.prepare()
			c.do("PUT", "/v1/executors/db-1/networks/e", `{"networkRef": "front", "static": true, "ip": "10.1.0.66/16"}`, "Authorization", c.bearer["admin"])
			refused := func(what, role string, status int, s seed) {
				t.Helper()
				a, line := c.audits(role, s)
				if a.status != status || line.Outcome != audit.Refused {
					t.Errorf("%s: %d %s has the line %+v", what, a.status, a.body, line)
				}
				tried[what]++
			}
			refused("not known", "", 401, s)
			refused("role", "viewer", 403, s)
			if s.operation != "patchExecutor" {
				refused("guest", "vm:web-1", 404, s)
			}
			refused("other guest", "vm:db-1", 404, s)

			bad := s
			if bad.body != "" {
				bad.body = `{"nonsense": 1}`
			} else {
				bad.target += "?nonsense=1"
			}
			refused("validation", "operator", 400, bad)
			if conflict, ok := conflicts[s.operation]; ok {
				conflict.operation, conflict.method, conflict.headers = s.operation, s.method, s.headers
				refused("conflict", "operator", 409, conflict)
			}
			missing := s
			if missing.target = strings.NewReplacer("/web-1", "/none", "/back", "/none").Replace(s.target); missing.target != s.target && s.operation != "putExecutor" && s.operation != "putNetwork" {
				refused("not found", "operator", 404, missing)
			}
			if takesIfMatch(s.operation) {
				stale := s
				stale.headers += "\nIf-Match: \"999999-999999\""
				refused("stale", "operator", 412, stale)
			}

			before := c.revision()
			s.body = strings.NewReplacer(`"name": "web"`, `"name": "web9"`, `"name": "m"`, `"name": "m9"`).Replace(s.body) // the fixtures have the others
			a, line := c.audits("operator", s)
			switch {
			case a.status >= 300:
				t.Fatalf("%d %s", a.status, a.body)
			case s.operation == "push": // there is no driver, and the status says so
				if line.Outcome != audit.Failed {
					t.Errorf("%+v", line)
				}
				return
			case line.Outcome != audit.Done || line.After != before+1 || line.After != c.revision():
				t.Errorf("at %d: %+v", c.revision(), line)
			case (line.Before == 0) != (s.method == http.MethodPost) || line.Before > before:
				t.Errorf("%d had changed at %d: %+v", before, line.Before, line)
			case s.method != http.MethodPost && s.operation != "deleteExecutor" && s.operation != "deleteNetwork" && s.operation != "putExecutor" && !strings.HasSuffix(s.operation, "VM") && len(line.Fields) == 0:
				t.Errorf("no fields: %+v", line)
			}
			tried["done"]++
			if s.method == http.MethodPut || s.method == http.MethodPatch {
				if a, line := c.audits("operator", s); a.status != 200 || line.Outcome != audit.Unchanged {
					t.Errorf("again: %d has the line %+v", a.status, line)
				}
				tried["unchanged"]++
			}
		})
	}
	for what, want := range map[string]int{
		"not known": 23, "role": 23, "guest": 22, "other guest": 23, "validation": 23, "conflict": len(conflicts), "not found": 19, "stale": 20, "done": 22, "unchanged": 13,
	} {
		if tried[what] != want {
			t.Errorf("%s was tried %d times, want %d: of which operations is it true?", what, tried[what], want)
		}
	}
}

func (e *edgeTest) revision() uint64 {
	e.Helper()
	revision, err := e.store.Revision(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	return revision
}

func takesIfMatch(id string) bool {
	for _, item := range specification().Paths.Paths {
		for _, op := range operationsOf(item) {
			if op.ID == id {
				for _, p := range op.Parameters {
					if p.Name == "If-Match" {
						return true
					}
				}
			}
		}
	}
	return false
}

// TestAuditOfReads: what is read has no line, unless it may not be or is everything.
func TestAuditOfReads(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	plain, _ := seeds(t)
	plain = append(plain, seed{operation: "metrics", method: "GET", target: metricsPath}, seed{operation: "documentation", method: "GET", target: specPath})
	for _, s := range plain {
		if s.method != http.MethodGet {
			continue
		}
		c.takeLines()
		if a := c.as("viewer", s.method, s.target, "", ""); a.status == 403 != (s.operation == "getBackup") {
			t.Errorf("%s: %d", s.operation, a.status)
		}
		if lines := c.takeLines(); len(lines) > 0 != (s.operation == "getBackup") {
			t.Errorf("%s has the lines %+v", s.operation, lines)
		}
	}
	backup := seed{operation: "getBackup", method: "GET", target: "/v1/backup"}
	if _, line := c.audits("viewer", backup); line.Outcome != audit.Refused || line.Status != 403 {
		t.Errorf("%+v", line)
	}
	if _, line := c.audits("admin", backup); line.Outcome != audit.Done || line.Status != 200 {
		t.Errorf("%+v", line)
	}
	if _, line := c.audits("", seed{operation: "getExecutor", method: "GET", target: "/v1/executors/web-1"}); line.Status != 401 {
		t.Errorf("%+v", line)
	}
	for target, operation := range map[string]string{"/v1/executors/web-1": "getExecutor", "/v1/nothing": "GET", "/metrics": "metrics"} {
		if _, line := c.audits("vm:db-1", seed{operation: operation, method: "GET", target: target}); line.Status != 404 || line.Outcome != audit.Refused {
			t.Errorf("%+v", line)
		}
	}
	if _, line := c.audits("vm:web-1", seed{operation: "getKeys", method: "GET", target: "/v1/executors/web-1/keys?scope=hidden"}); line.Status != 403 {
		t.Errorf("%+v", line)
	}
	// What is there to be looked for, and is not, has none.
	c.takeLines()
	c.as("viewer", "GET", "/v1/executors/none", "", "")
	c.as("vm:nowhere", "GET", "/v1/executors/nowhere/keys?scope=guest", "", "")
	if lines := c.takeLines(); len(lines) > 0 {
		t.Errorf("%+v", lines)
	}
	// No operation at all.
	if _, line := c.audits("operator", seed{operation: "PUT", method: "PUT", target: "/v1/nothing"}); line.Status != 404 || line.Outcome != audit.Refused {
		t.Errorf("%+v", line)
	}
	if _, line := c.audits("operator", seed{operation: "other", method: "BREW", target: "/v1/executors"}); line.Status != 405 {
		t.Errorf("%+v", line)
	}
}

// TestAuditOfGuests: what the guest of a VM sets by the API is a change like any other.
func TestAuditOfGuests(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	s := seed{operation: "patchExecutor", method: "PATCH", target: "/v1/executors/web-1", headers: "Content-Type: application/merge-patch+json", body: `{"sessions": {"main": {"exitStatus": 9}}}`}
	if _, line := c.audits("vm:web-1", s); line.Outcome != audit.Done || !slices.Equal(line.Fields, []string{"sessions.main.exitStatus"}) {
		t.Errorf("%+v", line)
	}
	s.body = `{"hostname": "x"}`
	if _, line := c.audits("vm:web-1", s); line.Outcome != audit.Refused || line.Status != 403 {
		t.Errorf("%+v", line)
	}
}

// TestAuditOfFailures: a handler that panics, and an answer that is cut off.
func TestAuditOfFailures(t *testing.T) {
	e := newEdge(t)
	inner := &edge{problems: problems{discardTo(e.log)}, metrics: e.metrics, trail: e.trail}
	for status, panics := range map[int]func(w http.ResponseWriter){
		500: func(http.ResponseWriter) { panic("a secret") },
		200: func(w http.ResponseWriter) { w.WriteHeader(200); panic(http.ErrAbortHandler) },
	} {
		func() {
			defer func() { _ = recover() }()
			r := httptest.NewRequestWithContext(t.Context(), "PUT", "/v1/x", nil)
			inner.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requestOf(r).operation = "putExecutor"
				panics(w)
			})).ServeHTTP(httptest.NewRecorder(), r)
		}()
		if lines := e.takeLines(); len(lines) != 1 || lines[0].Outcome != audit.Failed || lines[0].Status != status {
			t.Errorf("%d: %+v", status, lines)
		}
	}
}

// TestAuditOfABackupThatBreaksOff: it has a line, however many its client had before.
func TestAuditOfABackupThatBreaksOff(t *testing.T) {
	e := newEdge(t)
	for range 100 {
		e.do("DELETE", "/v1/executors/none", "")
	}
	e.takeLines()
	func() {
		defer func() { _ = recover() }()
		e.handler.ServeHTTP(&deaf{httptest.NewRecorder(), 1000}, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/backup", http.NoBody))
	}()
	if lines := e.takeLines(); len(lines) != 1 || lines[0].Operation != "getBackup" || lines[0].Outcome != audit.Failed {
		t.Errorf("%+v", lines)
	}
}

// TestAuditHoldsNoValues: whatever a request says, in whichever place, the trail has names alone. Each text of each document is the canary
// once, and is taken or refused.
func TestAuditHoldsNoValues(t *testing.T) {
	const canary, encoded = "canary-0123456789abcdef012345678", "Y2FuYXJ5LTAxMjM0NTY3ODlhYmNkZWYw"
	c := newCallersTest(t)
	plain, _ := seeds(t)
	requests, taken := 0, 0
	ask := func(method, target, headers, body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", requests/50) // so that no line is left out
		r.Header.Set("Authorization", c.bearer["admin"])
		for line := range strings.Lines(headers) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(unlimited{w}, r)
		requests++
		if w.Code < 300 {
			taken++
		}
	}
	for _, s := range plain {
		if s.method == http.MethodGet || s.operation == "push" {
			continue
		}
		if s.body == "" {
			s.body = `{}`
		}
		var document any
		if err := json.Unmarshal([]byte(s.body), &document); err != nil {
			t.Fatal(err)
		}
		if s.operation == "createNetwork" { // whose name is in its path
			delete(document.(map[string]any), "name")
		}
		for leaf := range texts(document) {
			c.prepare()
			for _, value := range []string{canary, encoded, "/" + canary, "nfs://user:" + canary + "@host/export?" + canary, canary + ".1.2.3/8"} {
				restore := leaf(value)
				body, err := json.Marshal(document)
				if err != nil {
					t.Fatal(err)
				}
				if s.operation == "createNetwork" {
					body = append([]byte(`{"name": "new",`), body[1:]...)
				}
				ask(s.method, s.target, s.headers, string(body))
				restore()
			}
		}
		c.prepare()
		for _, headers := range []string{"Authorization: Bearer " + canary, "Authorization: " + canary, "If-Match: " + canary, "If-None-Match: " + canary, "Content-Type: " + canary, "Cookie: " + canary, "Referer: /" + canary} {
			ask(s.method, s.target, s.headers+"\n"+headers, s.body)
		}
		for _, query := range []string{"?unique=" + canary, "?" + canary, "?takeOver=" + canary} {
			ask(s.method, s.target+query, s.headers, s.body)
		}
		for _, body := range []string{canary, `{"` + canary, `{"notes": "` + canary} {
			ask(s.method, s.target, s.headers, body)
		}
	}
	text := c.audited.String()
	for _, what := range []string{canary, encoded, "password", "Bearer"} {
		if at := strings.Index(text, what); at >= 0 {
			t.Errorf("%s is in the trail: %s", what, text[max(0, at-300):at+100])
		}
	}
	if lines := strings.Count(text, "\n") - strings.Count(text, `"source":"192.0.2.1:1234"`); lines != requests || requests < 900 || taken < 100 {
		t.Errorf("%d lines of %d requests, %d of which were taken", lines, requests, taken)
	}
}

// texts gives the texts of a document: what sets one gives what sets it back.
func texts(node any) func(yield func(set func(string) func()) bool) {
	return func(yield func(func(string) func()) bool) { eachText(node, yield) }
}

func eachText(node any, yield func(func(string) func()) bool) bool {
	visit := func(value any, put func(string)) bool {
		was, is := value.(string)
		if !is {
			return eachText(value, yield)
		}
		return yield(func(text string) func() {
			put(text)
			return func() { put(was) }
		})
	}
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if !visit(value, func(text string) { node[key] = text }) {
				return false
			}
		}
	case []any:
		for i, value := range node {
			if !visit(value, func(text string) { node[i] = text }) {
				return false
			}
		}
	}
	return true
}
