package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/models"
)

func TestDemo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "config-server")
	if out, err := exec.Command("go", "build", "-o", filepath.Dir(binary)+"/", "../config-server", "../tether").CombinedOutput(); err != nil {
		t.Fatalf("build the server and the tether: %v\n%s", err, out)
	}
	if err := run(t.Context(), binary); err != nil {
		t.Error(err)
	}
}

func TestNoServer(t *testing.T) {
	for binary, says := range map[string]string{
		filepath.Join(t.TempDir(), "config-server"): "make build",
		"false": "did not come to serve",
	} {
		if err := run(t.Context(), binary); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", binary, err, says)
		}
	}
}

// TestMismatches: the demo has to notice what it is there to show.
func TestMismatches(t *testing.T) {
	rows := []*models.KeyRow{
		{Key: "guestinfo.vice./hostname", Value: "web-1", Scope: "read-only", Field: "hostname"},
		{Key: "common/notes", Scope: "hidden", Field: "notes"},
	}
	others := map[string]string{"disk.enableUUID": "TRUE"}
	for _, tc := range []struct{ key, value, says string }{
		{"", "", ""},
		{"common/notes", "-", "GET /keys reports"},
		{"guestinfo.vice./hostname", "web-2", "should hold"},
		{"guestinfo.vice./domainname", "x", "nobody reports"},
		{"disk.enableUUID", "-", "another tool"},
		{"disk.enableUUID", "FALSE", "should hold"},
	} {
		held := map[string]string{"guestinfo.vice./hostname": "web-1", "common/notes": "", "disk.enableUUID": "TRUE"}
		switch tc.value {
		case "":
		case "-":
			delete(held, tc.key)
		default:
			held[tc.key] = tc.value
		}
		expect(t, checkVM(held, rows, others), tc.says)
	}

	expect(t, checkScopes(rows), "")
	expect(t, checkScopes([]*models.KeyRow{{Key: "guestinfo.vice./common/notes", Scope: "hidden"}}), "a guest sees it")
	expect(t, checkScopes([]*models.KeyRow{{Key: "hostname", Scope: "read-only"}}), "a guest sees it")
}

func TestSentKeys(t *testing.T) {
	row := func(key, field string) *models.KeyRow { return &models.KeyRow{Key: key, Value: "after", Field: field} }
	keys := func(changed ...string) map[string]string {
		m := map[string]string{"env": "before", "host": "before"}
		for _, key := range changed {
			m[key] = "after"
		}
		return m
	}
	reported := []*models.KeyRow{row("env", changed), row("host", "hostname")}
	right := &models.PushPlan{Calls: 1, Set: []*models.KeyRow{row("env", changed)}}
	for _, tc := range []struct {
		says  string
		after map[string]string
		plan  *models.PushPlan
		last  models.LastPush
	}{
		{"", keys("env"), right, models.LastPush{KeysSet: 1}},
		{"", keys("env"), &models.PushPlan{}, models.LastPush{KeysSet: 1}},
		{"did not reach", keys(), right, models.LastPush{KeysSet: 1}},
		{"announced", keys("env"), &models.PushPlan{Calls: 2, Set: right.Set}, models.LastPush{KeysSet: 1}},
		{"announced", keys("env", "host"), right, models.LastPush{KeysSet: 2}},
		{"the push set 3", keys("env"), right, models.LastPush{KeysSet: 3}},
		{"the push set 1 keys and deleted 1", keys("env"), right, models.LastPush{KeysSet: 1, KeysDeleted: 1}},
		{"which is hostname", keys("env", "host"), &models.PushPlan{}, models.LastPush{KeysSet: 2}},
	} {
		d := delivery{before: keys(), after: tc.after, plan: tc.plan, last: &tc.last}
		expect(t, d.check(reported), tc.says)
	}
}

// expect wants an error that says so, or none.
func expect(t *testing.T, err error, says string) {
	t.Helper()
	if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %q", err, says)
	}
}
