//go:build system

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSystemCallers pastes what the page for operators says about callers into a shell, with the real openssl, curl and
// server. Only the port is another one, and curl is made to tell each answer's status.
func TestSystemCallers(t *testing.T) {
	_, page, _ := strings.Cut(read(t, "../../docs/operations.md"), ". Who may call\n")
	blocks := regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(page, -1)
	command := regexp.MustCompile(`\$ config-server (.*)`).FindStringSubmatch(page)
	if len(blocks) != 2 || command == nil {
		t.Fatalf("found %d blocks and %q", len(blocks), command)
	}
	dir := t.TempDir()
	shell := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-eu", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, &complaints)
		}
		return string(out)
	}
	shell(blocks[0][1])
	args := strings.Fields(strings.Replace(command[1], "--port 8443 ", "", 1))
	for i, arg := range args {
		if _, err := os.Stat(filepath.Join(dir, arg)); err == nil && !strings.HasPrefix(arg, "-") && arg != "::" {
			args[i] = filepath.Join(dir, arg)
		}
	}
	s := launch(t, filepath.Join(dir, "data"), nil, args...)
	port := s.api[strings.LastIndex(s.api, ":")+1:]
	out := shell(`curl() { command curl --write-out '\n@%{http_code}\n' "$@"; }` + "\n" + strings.ReplaceAll(blocks[1][1], "8443", port))
	if got := fmt.Sprint(regexp.MustCompile(`@\d+`).FindAllString(out, -1)); got != "[@200 @201]" {
		t.Errorf("answered %s:\n%s", got, out)
	}
	shell(`config-server token new --token-file tokens --role admin --name backup > admin.token`)
	if out := shell("config-server backup --address https://localhost:" + port + " --ca ca.pem --bearer-file admin.token copy"); !strings.Contains(out, "revision") {
		t.Errorf("backup says %q", out)
	}
	s.terminate()
}

// TestSystemStaticBinary: what make build makes needs no library, and says nothing of where it was built.
func TestSystemStaticBinary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config-server")
	build := exec.Command("go", "build", "-trimpath", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is linked at its start: %v", p.Type)
		}
	}
}
