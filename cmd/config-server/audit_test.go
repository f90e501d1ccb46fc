package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/models"
)

// audited is a line of the audit trail, as who reads it for the first time would.
type audited struct {
	Time                                              time.Time
	Actor, Role, Source, Operation, Resource, Outcome string
	Before, After                                     uint64
	Fields                                            []string
	Reason, Key, Request                              string
	Status, Count                                     int
}

// trail reads a file of them.
func trail(t *testing.T, file string) (lines []audited) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l audited
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestAudit: clients, guests of both kinds and the server itself have lines in one file, which says who did what and never what with.
func TestAudit(t *testing.T) { onEach(t, auditTrail) }

func auditTrail(t *testing.T, h hypervisor) {
	const canary = "canary-0123456789abcdef012345678"
	site, dir := newSite(t, h, 1), dataDir(t)
	file, socket, others := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "api.sock"), site.held("vm1")
	s := site.start(dir, "--audit-file", file, "--socket-path", socket)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	from := 0
	// expect waits for lines of an operation, passes over those of others, and holds the last of them against what is wanted.
	expect := func(want audited) audited {
		t.Helper()
		var got audited
		eventually(t, want.Operation, func() bool {
			lines := trail(t, file)
			at := slices.IndexFunc(lines[from:], func(l audited) bool { return l.Operation == want.Operation && l.Outcome == want.Outcome })
			if at >= 0 {
				got, from = lines[from+at], from+at+1
			}
			return at >= 0
		})
		want.Time, want.Before, want.After, want.Request = got.Time, got.Before, got.After, got.Request
		if want.Source == "" && want.Status != 0 {
			want.Source = got.Source
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the line is %+v, want %+v", got, want)
		}
		return got
	}
	asAdmin := func(operation, resource, outcome string, status int, fields ...string) audited {
		t.Helper()
		l := expect(audited{Actor: "loopback", Role: "admin", Operation: operation, Resource: resource, Outcome: outcome, Status: status, Fields: fields})
		if host, _, err := net.SplitHostPort(l.Source); err != nil || host != "127.0.0.1" {
			t.Errorf("%s came from %q", operation, l.Source)
		}
		return l
	}

	s.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": "web", "name": %[1]q, "notes": %[1]q, "hostname": "before", "key": "Y2FuYXJ5LTAxMjM0NTY3ODlhYmNkZWYw", "sessions": {"main": {"cmd": {"path": %[1]q, "env": [%[1]q]}}},
		"mounts": {"m": {"source": "nfs://user:%[1]s@host/x", "path": "/m"}}, "vm": {"driver": "vsphere", "ref": "vm1", "aliases": {"a": %[1]q}}}`, canary), nil)
	if l := asAdmin("createExecutor", "/v1/executors/web", "done", 201); l.Before != 0 || l.After == 0 {
		t.Errorf("%+v", l)
	}
	expect(audited{Actor: "server", Role: "server", Operation: "resolve", Resource: "/v1/executors/web/vm", Outcome: "done"})
	s.push("web")
	asAdmin("push", "/v1/executors/web/push", "done", 200)
	s.expect(200, "POST", "/v1/executors/web/push?dryRun=true", "", nil)
	asAdmin("push", "/v1/executors/web/push", "unchanged", 200)

	// What a guest says in a vSphere VM, and what somebody did to it.
	site.machine("vm1").reports(map[string]string{"sessions|main.started": canary})
	l := expect(audited{Actor: "web", Role: "vm:web", Source: "VM", Operation: "report", Resource: "/v1/executors/web", Outcome: "done", Fields: []string{"sessions.main.started"}})
	if l.Before == 0 || l.After <= l.Before {
		t.Errorf("%+v", l)
	}
	s.push("web")
	site.set("vm1", map[string]string{"guestinfo.vice./hostname": canary, "common/notes": "other"})
	expect(audited{Source: "VM", Operation: "drift", Resource: "/v1/executors/web", Outcome: "put back", Fields: []string{"hostname", "notes"}})

	// What the server does by itself about execs, each of which is of one boot.
	s.expect(201, "PUT", "/v1/executors/web/execs/once", fmt.Sprintf(`{"cmd": {"path": %q}}`, canary), nil)
	asAdmin("putExec", "/v1/executors/web/execs/once", "done", 201, "execs.once")
	expect(audited{Actor: "server", Role: "server", Operation: "deliver", Resource: "/v1/executors/web/vm", Outcome: "done"})
	s.push("web")
	site.machine("vm1").powerOff()
	expect(audited{Actor: "server", Role: "server", Operation: "report", Resource: "/v1/executors/web", Outcome: "done", Fields: []string{"execs.once.detail.stopTime"}})

	s.expect(204, "DELETE", "/v1/executors/web/vm", "", nil)
	asAdmin("deleteVM", "/v1/executors/web/vm", "done", 204)
	site.awaitClean("vm1", others)
	expect(audited{Actor: "server", Role: "server", Operation: "clean", Resource: "/v1/executors/web/vm", Outcome: "done"})

	// The guest channel.
	s.expect(201, "PUT", "/v1/executors/web/vm", `{"driver": "qemu", "ref": "vm9"}`, nil)
	asAdmin("putVM", "/v1/executors/web/vm", "done", 201)
	g := s.guest(s.socket("web"), "boot-1")
	if _, err := g.Set(t.Context(), guest.Pair{Key: "guestinfo.vice..sessions|main.status", Value: "7"}); err != nil {
		t.Fatal(err)
	}
	expect(audited{Actor: "web", Role: "vm:web", Source: "guest channel", Operation: "report", Resource: "/v1/executors/web", Outcome: "done", Fields: []string{"sessions.main.exitStatus"}})
	for _, tc := range []struct{ operation, key, reason string }{
		{"set", "guestinfo.vice./hostname", "read-only"},
		{"set", "common/notes", "hidden"},
		{"set", "guestinfo." + canary, "unknown-key"},
		{"request", "", "request"}, // a key needs a name
	} {
		if _, err := g.Set(t.Context(), guest.Pair{Key: tc.key, Value: canary}); err == nil {
			t.Fatalf("%s was taken", tc.key)
		}
		if strings.Contains(tc.key, canary) {
			tc.key = ""
		}
		expect(audited{Actor: "web", Role: "vm:web", Source: "guest channel", Operation: tc.operation, Resource: "/v1/executors/web", Outcome: "refused", Reason: tc.reason, Key: tc.key})
	}

	// Somebody at the unix socket.
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), "DELETE", "http://localhost/v1/executors/none", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	expect(audited{
		Actor: fmt.Sprintf("uid-%d", os.Geteuid()), Role: "admin", Source: fmt.Sprintf("unix uid=%d pid=%d", os.Geteuid(), os.Getpid()),
		Operation: "deleteExecutor", Resource: "/v1/executors/none", Outcome: "refused", Status: 404,
	})
	s.terminate()

	text := readFile(t, file)
	if strings.Contains(text, canary) || strings.Contains(text, "Y2FuYXJ5") {
		t.Errorf("a value is in the trail:\n%s", text)
	}
	for _, bookkeeping := range []string{"confirm", "offer", "power"} {
		if strings.Contains(text, `"operation":"`+bookkeeping) {
			t.Errorf("%s has a line", bookkeeping)
		}
	}
	for _, l := range trail(t, file) {
		if l.Actor == "loopback" && l.Request == "" {
			t.Errorf("no request: %+v", l)
		}
	}
}

// TestAuditExample: the page for operators shows a line as it is. What differs from one to the next is made the same.
func TestAuditExample(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	s := startSecured(t, "--audit-file", file)
	c := s.connect(apiclient.WithToken(s.newToken("operator", "deploy")))
	_, err := c.Executors.CreateExecutorContext(t.Context(), executors.NewCreateExecutorParams().WithBody(&models.Executor{ID: "web-1", Sessions: map[string]*models.Session{"main": {}}}))
	if err != nil {
		t.Fatal(err)
	}
	patch := map[string]any{"hostname": "web-1", "sessions": map[string]any{"main": map[string]any{"cmd": map[string]any{"args": []string{"httpd"}}}}}
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Executors.PatchExecutorContext(t.Context(), executors.NewPatchExecutorParams().WithID("web-1").WithBody(text)); err != nil {
		t.Fatal(err)
	}
	stranger := s.connect(apiclient.WithToken("cfgs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
	if _, err := stranger.Executors.DeleteExecutorContext(t.Context(), executors.NewDeleteExecutorParams().WithID("web-1")); err == nil {
		t.Error("a stranger deleted it")
	}
	s.terminate()

	lines := slices.Collect(strings.Lines(readFile(t, file)))
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	same := func(line string) string {
		for pattern, with := range map[string]string{
			`"time":"[0-9T:.-]+Z"`: `"time":"T"`, `"source":"[0-9.]+:[0-9]+"`: `"source":"S"`, `"before":[0-9]+,"after":[0-9]+`: `"before":1,"after":2`, `"request":"[A-Z0-9]{26}"`: `"request":"R"`,
		} {
			line = regexp.MustCompile(pattern).ReplaceAllString(line, with)
		}
		return strings.TrimSpace(line)
	}
	_, page, _ := strings.Cut(read(t, "../../docs/operations.md"), "## 10. Who did what")
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "\n```")
	if example == "" || same(example) != same(lines[1]) {
		t.Errorf("the page has\n%s\nthe trail\n%s", same(example), same(lines[1]))
	}
	if strings.Contains(lines[2], "cfgs_") || strings.Contains(lines[2], `"actor"`) || !strings.Contains(lines[2], `"operation":"deleteExecutor"`) || !strings.Contains(lines[2], `"status":401`) {
		t.Errorf("a stranger has the line %s", lines[2])
	}
}

// TestAuditWithoutAFile: lines are in the log, with the same fields.
func TestAuditWithoutAFile(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	s.expect(201, "PUT", "/v1/executors/web", `{"hostname": "web"}`, nil)
	s.terminate()
	if want := `"msg":"audit","actor":"loopback","role":"admin","source":"127.0.0.1:`; !strings.Contains(s.output.String(), want) {
		t.Errorf("no %s in\n%s", want, s.output)
	}
}

// TestAuditDiskFull: when the trail has no room, nothing fails for it: its lines are in the log and counted, until there is room again.
func TestAuditDiskFull(t *testing.T) {
	disk := t.TempDir()
	file := filepath.Join(disk, "audit.jsonl")
	s := startOnDisk(t, disk, "1m", filepath.Join(t.TempDir(), "data"), "--audit-file", file)
	seen := fmt.Sprintf("/proc/%d/root%s", s.cmd.Process.Pid, disk)
	ballast := filepath.Join(seen, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk does not end")
	}
	written := 0
	put := func() {
		t.Helper()
		written++
		if a := s.do("PUT", fmt.Sprintf("/v1/executors/x%d", written), `{}`, "X-Request-Id", fmt.Sprintf("put-%d-", written)); a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for s.metric("config_server_audit_errors_total") < 5 {
		put()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		put()
	}
	text := readFile(t, filepath.Join(seen, "audit.jsonl"))
	s.terminate()
	var whole, log strings.Builder
	torn := 0
	for line := range strings.Lines(text) {
		if json.Valid([]byte(line)) {
			whole.WriteString(line)
		} else if torn++; torn > 1 {
			t.Errorf("a second line is not whole: %s", line)
		}
	}
	for line := range strings.Lines(s.output.String()) {
		if strings.Contains(line, `"level":"ERROR","msg":"audit"`) && strings.Contains(line, "no space left") {
			log.WriteString(line)
		}
	}
	lost := 0
	for i := 1; i <= written; i++ {
		id := fmt.Sprintf(`"request":"put-%d-"`, i)
		if inFile, inLog := strings.Count(whole.String(), id), strings.Count(log.String(), id); inFile+inLog != 1 {
			t.Errorf("change %d is %d times in the file, %d times in the log", i, inFile, inLog)
		} else if lost += inLog; inLog > 0 && i > written-5 {
			t.Errorf("change %d is not in the file, for which there is room again", i)
		}
	}
	if lost < 5 {
		t.Errorf("%d lines are in the log", lost)
	}
}
