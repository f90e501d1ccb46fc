//go:build system

package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestSystemReadmeWalk pastes the README's requests, all of them and as they are, into a shell with the real
// curl. Only the address is another one, and curl is made to tell each answer's status.
func TestSystemReadmeWalk(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	requests, err := exec.Command("sh", "../../docs/try.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	const address = "http://127.0.0.1:8080"
	if n := strings.Count(string(requests), address); n != 1 {
		t.Fatalf("the README's requests name %s %d times", address, n)
	}
	shell := exec.Command("sh", "-eu", "-c", `curl() { command curl --write-out '\n@%{http_code}\n' "$@"; }`+"\n"+
		strings.Replace(string(requests), address, s.api, 1))
	var complaints bytes.Buffer
	shell.Stderr = &complaints
	out, err := shell.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%v\n%s%s", err, out, &complaints)
	}

	want := []struct{ status, says, neverSays string }{
		{"201", `"name":"front"`, ""},
		{"201", `"networkRef":"front"`, ""},
		{"200", `"state":"synced"`, ""},
		{"200", `"guestinfo.vice./sessions|web-1/cmd/Path"`, "annotations"},
		{"200", `"WORKERS=2"`, ""},
		{"200", `"keysSet":2,`, ""},
		{"200", `"annotations|team"`, "guestinfo."},
		{"422", `"mounts.data.path"`, ""},
		{"204", "", ""},
		{"204", "", ""},
	}
	answers := regexp.MustCompile(`(?s)(.*?)\n@(\d{3})\n`).FindAllStringSubmatch(string(out), -1)
	if len(answers) != len(want) {
		t.Fatalf("%d answers, want %d:\n%s", len(answers), len(want), out)
	}
	for i, w := range want {
		body, status := answers[i][1], answers[i][2]
		if status != w.status || !strings.Contains(body, w.says) || w.neverSays != "" && strings.Contains(body, w.neverSays) {
			t.Errorf("answer %d is %s %s, want %s with %s and without %q", i+1, status, body, w.status, w.says, w.neverSays)
		}
	}
}
