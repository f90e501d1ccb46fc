package handlers

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/executor"
)

// callersTest is the API with tokens, as a server has it that others can reach.
type callersTest struct {
	*edgeTest
	bearer map[string]string // Authorization, by role; nobody has none
}

func newCallersTest(t *testing.T) *callersTest {
	t.Helper()
	return callersOn(t, newEdge(t))
}

// callersOn is an API with tokens in place of one that tells no callers apart.
func callersOn(t *testing.T, e *edgeTest) *callersTest {
	t.Helper()
	c := &callersTest{edgeTest: e, bearer: map[string]string{}}
	file := filepath.Join(t.TempDir(), "tokens")
	for _, role := range []string{"viewer", "operator", "admin", "vm:web-1", "vm:db-1", "vm:nowhere"} {
		p, err := auth.NewPrincipal("test-"+strings.ReplaceAll(role, ":", "-"), role)
		if err != nil {
			t.Fatal(err)
		}
		token, err := auth.NewToken(file, p)
		if err != nil {
			t.Fatal(err)
		}
		c.bearer[role] = "Bearer " + token
	}
	callers, err := auth.Open(auth.Options{TokenFile: file, Logger: discardTo(c.log)})
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(context.Background())
	end() // a stream is over as soon as it began
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.handler, err = New(Options{Store: c.store, Push: c.reconciler, Callers: callers, Metrics: c.metrics, Audit: c.trail, Logger: log, Streams: ended})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// prepare makes the fixtures as they were.
func (c *callersTest) prepare() {
	c.Helper()
	for _, f := range fixtures {
		if a := c.do("PUT", f.target, f.body, "Authorization", c.bearer["admin"]); a.status >= 300 {
			c.Fatalf("%s: %d %s", f.target, a.status, a.body)
		}
	}
}

// as makes a request as one of the roles.
func (c *callersTest) as(role, method, target, headers, body string) *answer {
	c.Helper()
	var pairs []string
	if c.bearer[role] != "" {
		pairs = append(pairs, "Authorization", c.bearer[role])
	}
	for line := range strings.Lines(headers) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			pairs = append(pairs, name, value)
		}
	}
	return c.do(method, target, body, pairs...)
}

// TestRoles: every operation, by every role, at the real edge. What a role has is said here in other words than in the table.
func TestRoles(t *testing.T) {
	c := newCallersTest(t)
	c.runReconciler(t)
	c.prepare()
	plain, _ := seeds(t)
	const elsewhere = `{"driver": "vsphere", "ref": "vm3"}` // for an executor that holds secrets
	plain = append(plain, seed{operation: "metrics", method: "GET", target: metricsPath}, seed{operation: "documentation", method: "GET", target: specPath},
		seed{operation: "documentation", method: "GET", target: docsPath},
		seed{operation: "putVM", method: "PUT", target: "/v1/executors/web-1/vm", headers: "Content-Type: application/json", body: elsewhere})
	guestBody := `{"sessions": {"main": {"started": "true"}}}`
	used := false // the fixtures may not be what they were
	for _, s := range plain {
		public := s.target == healthPath || s.target == readyPath || s.operation == "documentation"
		for _, role := range []string{"", "viewer", "operator", "admin", "vm:web-1", "vm:db-1", "vm:nowhere"} {
			s := s
			refusal := 0
			switch {
			case public:
			case role == "":
				refusal = http.StatusUnauthorized
			case role == "vm:web-1" && s.operation == "getKeys":
				s.target += "?scope=guest"
			case role == "vm:web-1" && s.operation == "patchExecutor":
				s.body = guestBody
			case strings.HasPrefix(role, "vm:"):
				refusal = http.StatusNotFound
			case role != "admin" && s.operation == "getBackup":
				refusal = http.StatusForbidden // it holds all secrets
			case role == "operator" && s.body == elsewhere:
				refusal = http.StatusForbidden
			case role == "viewer" && s.method != "GET":
				refusal = http.StatusForbidden
			}
			if refusal == 0 && used {
				c.prepare()
			}
			if refusal == 0 {
				used = s.method != "GET"
			}
			before, err := c.store.Revision(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			a := c.as(role, s.method, s.target, s.headers, s.body)
			if made := a.header.Get("Location"); s.method == "POST" && made != "" { // is in the way of the next
				c.as("admin", "DELETE", made, "", "")
			}
			after, err := c.store.Revision(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case refusal == 0 && a.status >= 400:
				t.Errorf("%s as %q: %d %s", s.operation, role, a.status, a.body)
			case refusal != 0 && a.status != refusal:
				t.Errorf("%s as %q: %d %s, want %d", s.operation, role, a.status, a.body, refusal)
			case refusal != 0 && before != after:
				t.Errorf("%s as %q was refused, and made a change", s.operation, role)
			case refusal == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") != `Bearer realm="config-server"`:
				t.Errorf("%s as %q: WWW-Authenticate is %q", s.operation, role, a.header.Get("WWW-Authenticate"))
			}
		}
	}
}

// TestUnknownCallers hear the same wherever they ask, whatever there is.
func TestUnknownCallers(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	for _, authorization := range []string{"", "Bearer", "Bearer cfgs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "Basic dXNlcjpwYXNz", c.bearer["admin"] + "x", strings.ToLower(c.bearer["admin"])} {
		bodies := map[string]bool{}
		for _, target := range []string{"/v1/executors/web-1", "/v1/executors/web-2", "/v1/nothing", "/", "/v1//executors", "/v1/executors?x=y", "/metrics"} {
			for _, method := range []string{"GET", "PUT", "OPTIONS", "BREW"} {
				headers := []string{"X-Request-Id", "r"}
				if authorization != "" {
					headers = append(headers, "Authorization", authorization)
				}
				a := c.expect(401, method, target, "", nil, headers...)
				bodies[string(a.body)] = true
				if invalid := strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token"); invalid != (authorization != "") {
					t.Errorf("%q: %v", authorization, a.header)
				}
			}
		}
		if len(bodies) != 1 {
			t.Errorf("%q hears different things: %q", authorization, slices.Collect(maps.Keys(bodies)))
		}
		if token := strings.TrimPrefix(authorization, "Bearer "); len(token) > 10 && strings.Contains(c.log.String(), token) {
			t.Error("the token is in the log")
		}
	}
}

// TestNothingForAGuest: ten thousand requests for what is not the guest's own, each made twice, once for something that is there and once
// for something that is not. Every answer is the same to the last byte.
func TestNothingForAGuest(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	begun, err := c.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, varied := seeds(t)
	random := rand.New(rand.NewPCG(1, 2))
	want := ""
	for range 10_000 {
		s := varied[random.IntN(len(varied))]
		if strings.HasPrefix(s.target, healthPath) || strings.HasPrefix(s.target, readyPath) {
			continue
		}
		if random.IntN(4) == 0 {
			s.method = []string{"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"}[random.IntN(7)]
		}
		if random.IntN(8) == 0 {
			s.body = strings.Repeat("{", random.IntN(100))
		}
		if random.IntN(8) == 0 {
			s.target += []string{"/", "/x", "?limit=1", "%2F..%2Fdb-1", "/../../db-1/keys", "%00"}[random.IntN(6)]
		}
		// The caller's own executor is db-1; whatever is named, of all kinds, is there in one of the two.
		absent := strings.NewReplacer("web-1", "web-2", "/back", "/none", "/main", "/nope", "/e1", "/e2", "/eth0", "/eth7", "/data", "/nada").Replace(s.target)
		for _, target := range []string{s.target, absent} {
			r, err := http.NewRequestWithContext(t.Context(), s.method, "http://server"+target, strings.NewReader(s.body))
			if err != nil {
				continue
			}
			r.RequestURI = target
			r.Header.Set("Authorization", c.bearer["vm:db-1"])
			r.Header.Set("X-Request-Id", "r")
			for line := range strings.Lines(s.headers) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, r)
			got := strconv.Itoa(w.Code) + headerText(w.Header()) + w.Body.String()
			if want == "" {
				want = got
			}
			if got != want || w.Code != http.StatusNotFound {
				t.Fatalf("%s %s:\n%s\nwhile others get\n%s", s.method, target, got, want)
			}
		}
	}
	if ended, err := c.store.Revision(t.Context()); err != nil || ended != begun {
		t.Errorf("something was changed: %d, then %d %v", begun, ended, err)
	}
	if strings.Contains(want, "web-1") || strings.Contains(want, "db-1") {
		t.Errorf("the answer names something: %s", want)
	}
}

func headerText(h http.Header) string {
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// TestGuestKeys: a guest reads the keys that it can see in its VM, and finds nothing out about others by its parameters.
func TestGuestKeys(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	var set struct {
		Keys []struct{ Key, Scope, Value string }
	}
	for _, scope := range []string{"guest", "read-only", "read-write"} {
		a := c.as("vm:web-1", "GET", "/v1/executors/web-1/keys?scope="+scope, "", "")
		if a.status != 200 {
			t.Fatalf("%s: %d %s", scope, a.status, a.body)
		}
		c.expect(200, "GET", "/v1/executors/web-1/keys?scope="+scope, "", &set, "Authorization", c.bearer["vm:web-1"])
		for _, k := range set.Keys {
			if k.Scope == "hidden" || !strings.HasPrefix(k.Key, "guestinfo.") {
				t.Errorf("%s shows %+v", scope, k)
			}
		}
		if len(set.Keys) == 0 {
			t.Errorf("%s shows nothing", scope)
		}
	}
	for query, field := range map[string]string{"": "scope", "?scope=all": "scope", "?scope=hidden": "scope", "?scope=guest&view=observed": "view", "?scope=guest&view=diff": "view", "?scope=guest&x=1": "x"} {
		a := c.as("vm:web-1", "GET", "/v1/executors/web-1/keys"+query, "", "")
		if a.status != 403 || len(a.problem.Errors) != 1 || a.problem.Errors[0].Field != field {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if a := c.as("vm:nowhere", "GET", "/v1/executors/nowhere/keys?scope=guest", "", ""); a.status != 404 || a.problem.Detail != sentence(errNothing.Error()) {
		t.Errorf("an executor that is gone: %d %s", a.status, a.body)
	}
}

// TestGuestReports: a guest sets what it reports, and sees of its executor what its keys say.
func TestGuestReports(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	a := c.as("vm:web-1", "PATCH", "/v1/executors/web-1", "Content-Type: application/merge-patch+json",
		`{"sessions": {"main": {"started": "false", "exitStatus": 7, "detail": {"stopTime": "2026-01-02T03:04:06Z"}}}, "networks": {"eth0": {"assigned": "10.1.0.9/16"}}, "diagnostics": {"exitLogs": null}}`)
	if a.status != 200 || !strings.Contains(string(a.body), `"exitStatus":7`) || !strings.Contains(string(a.body), `"assigned":"10.1.0.9/16"`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, hidden := range []string{"ours", "shop\"", "team", "vsphere", "networkRef"} { // notes, annotations, the binding, what is the store's alone
		if strings.Contains(string(a.body), hidden) {
			t.Errorf("the guest sees %q: %s", hidden, a.body)
		}
	}
	if e, err := c.store.Executor(t.Context(), "web-1"); err != nil || e.Config.Sessions["main"].ExitStatus != 7 || e.Config.Notes != "ours" {
		t.Errorf("the store has %+v, %v", e.Config, err)
	}
	for body, fields := range map[string]string{
		`{"notes": "ours"}`:                               "notes", // what is there already: an answer would tell
		`{"notes": "guess"}`:                              "notes",
		`{"annotations": {"team": "shop"}}`:               "annotations",
		`{"annotations": {"none": null}}`:                 "annotations",
		`{"id": "web-1"}`:                                 "id",
		`{"hostname": "x", "name": "y"}`:                  "hostname name",
		`{"sessions": null}`:                              "sessions",
		`{"sessions": {"main": null}}`:                    "sessions.main",
		`{"sessions": {"new": {"started": "true"}}}`:      "sessions.new",
		`{"sessions": {"new": null}}`:                     "sessions.new",
		`{"sessions": {"main": {"detail": 5}}}`:           "sessions.main.detail",
		`{"sessions": {"main": {"cmd": {"path": "x"}}}}`:  "sessions.main.cmd",
		`{"networks": {"eth0": {"networkRef": null}}}`:    "networks.eth0.networkRef",
		`{"networks": {"eth0": {"ip": "10.1.0.3/16"}}}`:   "networks.eth0.ip",
		`{"mounts": {"data": {}}}`:                        "mounts",
		`{"vm": {"driver": "vsphere", "ref": "vm9"}}`:     "vm",
		`{"nothing": 1}`:                                  "nothing",
		`[]`:                                              "",
		`{"sessions": {"main": {"started": {"a": "b"}}}}`: "sessions.main.started", // its own fault, in a field that is the guest's
	} {
		a := c.as("vm:web-1", "PATCH", "/v1/executors/web-1", "Content-Type: application/merge-patch+json", body)
		var got []string
		for _, f := range a.problem.Errors {
			got = append(got, f.Field)
		}
		if (a.status != 403 && a.status != 400) || strings.Join(got, " ") != fields {
			t.Errorf("%s: %d %q %s", body, a.status, got, a.body)
		}
	}
	if a := c.as("vm:web-1", "PATCH", "/v1/executors/web-1?unique=name", "Content-Type: application/merge-patch+json", `{}`); a.status != 403 {
		t.Errorf("unique finds out about others: %d %s", a.status, a.body)
	}
}

// TestGuestChangesReportsAlone: whatever a guest patches, all that it does not report stays as it is.
func TestGuestChangesReportsAlone(t *testing.T) {
	c := newCallersTest(t)
	c.prepare()
	before, err := c.store.Executor(t.Context(), "web-1")
	if err != nil {
		t.Fatal(err)
	}
	fields := c.store.Codec().Fields()
	random := rand.New(rand.NewPCG(3, 4))
	set := 0
	for range 2_000 {
		path, _, _ := strings.Cut(fields[random.IntN(len(fields))].Path, "[]")
		steps := strings.Split(path, ".")
		for i, step := range steps {
			if step == "*" {
				steps[i] = []string{seedNames[steps[max(i-1, 0)]], "other", ""}[random.IntN(8)/3]
			}
		}
		body := []string{`"true"`, `7`, `null`, `true`, `"10.1.0.9/16"`, `"2026-01-02T03:04:05Z"`, `[]`, `["10.1.0.53"]`, `{}`, `[{"message": "m"}]`}[random.IntN(10)]
		for _, step := range slices.Backward(steps[:max(1, len(steps)-random.IntN(3)/2)]) {
			body = `{` + strconv.Quote(step) + `: ` + body + `}`
		}
		if a := c.as("vm:web-1", "PATCH", "/v1/executors/web-1", "Content-Type: application/merge-patch+json", body); a.status == 200 {
			set++
		} else if a.status >= 500 {
			t.Fatalf("%s: %d %s", body, a.status, a.body)
		}
	}
	after, err := c.store.Executor(t.Context(), "web-1")
	if err != nil {
		t.Fatal(err)
	}
	restored := after.Config.Clone()
	c.store.Codec().CopyReports(restored, before.Config)
	if !reflect.DeepEqual(restored, canonicalCopy(before.Config)) {
		t.Errorf("a guest changed more than its reports:\n%+v\n%+v", restored, before.Config)
	}
	if set < 20 || reflect.DeepEqual(after.Config, before.Config) {
		t.Errorf("%d patches were accepted: nothing was tried", set)
	}
}

func canonicalCopy(c *executor.ExecutorConfig) *executor.ExecutorConfig {
	c = c.Clone()
	c.Canonicalize()
	return c
}
