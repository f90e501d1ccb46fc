package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
)

// TestPackagedFlags: the image and the unit start the server with flags that there are.
func TestPackagedFlags(t *testing.T) {
	var o app.Options
	parser := flags.NewParser(&o, flags.None)
	for file, line := range map[string]string{"config-server.service": `(?m)^.*CONFIG_SERVER_FLAGS.*$`, "Containerfile": `(?m)^(#  +--|ENTRYPOINT).*$`} {
		named := 0
		for _, text := range regexp.MustCompile(line).FindAllString(read(t, "../../packaging/"+file), -1) {
			for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(text, -1) {
				if named++; parser.FindOptionByLongName(m[1]) == nil {
					t.Errorf("%s: there is no --%s", file, m[1])
				}
			}
		}
		if named < 3 {
			t.Errorf("%s names %d flags", file, named)
		}
	}
}

// unit is what the unit says, by name; a name may be there several times.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	for line := range strings.Lines(read(t, "../../packaging/config-server.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	return settings
}

// TestUnitConfines: the server under the unit has no rights beside those of its user, and may do only what it needs to: that it gives files to another group is
// one such thing.
func TestUnitConfines(t *testing.T) {
	settings := unit(t)
	for name, want := range map[string][]string{
		"User": {"config-server"}, "CapabilityBoundingSet": {""}, "NoNewPrivileges": {"yes"}, "ProtectSystem": {"strict"}, "ProtectHome": {"yes"}, "PrivateTmp": {"yes"}, "PrivateDevices": {"yes"},
		"ProtectClock": {"yes"}, "ProtectHostname": {"yes"}, "ProtectKernelLogs": {"yes"}, "ProtectKernelModules": {"yes"}, "ProtectKernelTunables": {"yes"}, "ProtectControlGroups": {"yes"},
		"ProtectProc": {"invisible"}, "RestrictNamespaces": {"yes"}, "RestrictRealtime": {"yes"}, "RestrictSUIDSGID": {"yes"}, "LockPersonality": {"yes"}, "MemoryDenyWriteExecute": {"yes"},
		"RestrictAddressFamilies": {"AF_UNIX AF_INET AF_INET6"}, "SystemCallArchitectures": {"native"}, "UMask": {"0077"}, "StateDirectoryMode": {"0700"}, "LogsDirectoryMode": {"0700"}, "LimitCORE": {"0"},
		"PrivateUsers":     {"no"}, // groups and callers are what they are outside
		"SystemCallFilter": {"@system-service", "~@privileged @resources", "@chown"},
	} {
		if !slices.Equal(settings[name], want) {
			t.Errorf("%s is %q, want %q", name, settings[name], want)
		}
	}
}

// TestUnitLetsAGroupIn: with the directories of the unit, its umask and its flags, and those that its comment names for guests of other users, a socket of a guest
// can be reached by a group. The group is one that this user is in.
func TestUnitLetsAGroupIn(t *testing.T) {
	settings := unit(t)
	dirs := map[string]string{"CONFIG_SERVER_FLAGS": "--guest-socket-mode 0660 --guest-socket-group " + strconv.Itoa(os.Getgid())}
	for variable, name := range map[string]string{"STATE_DIRECTORY": "StateDirectory", "RUNTIME_DIRECTORY": "RuntimeDirectory"} {
		mode, err := strconv.ParseUint(strings.Join(settings[name+"Mode"], " "), 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		dirs[variable] = filepath.Join(t.TempDir(), strings.Join(settings[name], " "))
		if err := errors.Join(os.Mkdir(dirs[variable], 0o700), os.Chmod(dirs[variable], os.FileMode(mode))); err != nil {
			t.Fatal(err)
		}
	}
	command := strings.Fields(os.Expand(strings.Join(settings["ExecStart"], " "), func(name string) string { return dirs[name] }))
	shell := exec.Command("sh", "-c", "umask "+strings.Join(settings["UMask"], " ")+` && exec "$0" "$@"`, binary)
	s := startCommand(t, shell, nil, dirs["STATE_DIRECTORY"], nil, command[1:]...)
	s.expect(201, "POST", "/v1/executors", `{"id": "web", "vm": {"driver": "qemu", "ref": "vm"}}`, nil)
	socket := s.socket("web")
	if !strings.HasPrefix(socket, dirs["RUNTIME_DIRECTORY"]+"/") {
		t.Fatalf("the socket is %s", socket)
	}
	for path, right := socket, os.FileMode(0o060); path != filepath.Dir(dirs["RUNTIME_DIRECTORY"]); path, right = filepath.Dir(path), 0o010 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// The directory of the runtime is of the server's own group: there, others must be let in.
		if path == dirs["RUNTIME_DIRECTORY"] {
			right = 0o001
		}
		if mode := info.Mode().Perm(); mode&right != right {
			t.Errorf("%s has the mode %o", path, mode)
		}
	}
	s.terminate()
}
