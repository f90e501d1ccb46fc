package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
)

// TestStaticBinary: what make build makes needs no library, and says nothing of where it was built.
func TestStaticBinary(t *testing.T) {
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
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is linked at its start: %v", p.Type)
		}
	}
}

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
