package house

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGuestKnowsNoServer: what runs in guests links nothing of the server, nor do its packages import it.
func TestGuestKnowsNoServer(t *testing.T) {
	mine := []string{"guest", "executor", "extraconfig", "cmd/tether"}
	banned := []string{"net/http", "database/sql", "github.com/vmware/govmomi", "go.etcd.io", "github.com/go-openapi", "github.com/prometheus"}
	var checked int
	for _, p := range packages(t) {
		if p.rel() != "guest" && !under(p.rel(), "cmd/tether") {
			continue
		}
		checked++
		for _, dep := range p.Deps {
			rel, ours := strings.CutPrefix(dep, module+"/")
			if ours && !slices.ContainsFunc(mine, func(dir string) bool { return under(rel, dir) }) {
				t.Errorf("%s links %s", p.rel(), rel)
			}
			if slices.ContainsFunc(banned, func(b string) bool { return under(dep, b) }) {
				t.Errorf("%s links %s", p.rel(), dep)
			}
		}
	}
	if checked < 2 {
		t.Errorf("%d packages of the guest", checked)
	}
}

// TestTetherIsStatic: the tether runs in an initramfs that has no library, and does not fill it.
func TestTetherIsStatic(t *testing.T) {
	const most = 16 << 20
	binary := filepath.Join(t.TempDir(), "tether")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/tether")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the tether has a %v segment: it is not static", segment.Type)
		}
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the tether has %d bytes", info.Size())
	if info.Size() > most {
		t.Errorf("the tether has %d bytes, more than %d", info.Size(), most)
	}
}
