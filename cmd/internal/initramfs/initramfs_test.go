package initramfs

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/ulikunitz/xz"
)

// kernel makes a directory of modules: c needs b, which needs a; b is compressed.
func kernel(t *testing.T) Kernel {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"modules.dep": "kernel/c.ko: kernel/b-x.ko.xz kernel/a.ko\nkernel/b-x.ko.xz: kernel/a.ko\nkernel/a.ko:\n", "modules.builtin": "kernel/fs/ext4/ext4.ko\n",
		"kernel/a.ko": "module a", "kernel/b-x.ko.xz": compressed(t, "module b"), "kernel/c.ko": "module c",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Kernel{Modules: dir}
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestModulesComeInOrder(t *testing.T) {
	k := kernel(t)
	got, err := k.order([]string{"c", "ext4", "a"})
	if want := []string{"kernel/a.ko", "kernel/b-x.ko.xz", "kernel/c.ko"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
	if _, err := k.order([]string{"none"}); err == nil {
		t.Error("there is no module none")
	}
}

func TestArchive(t *testing.T) {
	a := New()
	if err := a.Modules(kernel(t), "b_x"); err != nil {
		t.Fatal(err)
	}
	a.File("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n"))
	a.Link("/bin/sh", "busybox")
	file := filepath.Join(t.TempDir(), "initramfs")
	if err := a.Write(file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
		if r.Name != "lib/modules/b_x.ko" {
			continue
		}
		if text, err := io.ReadAll(io.NewSectionReader(r, 0, 100)); err != nil || string(text) != "module b" {
			t.Errorf("%s is %q: %v", r.Name, text, err)
		}
	}
	want := []string{".", "lib", "lib/modules", "lib/modules/a.ko", "lib/modules/b_x.ko", "etc", "etc/tether", "etc/tether/modules", "etc/hosts", "bin", "bin/sh"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestNewestKernel(t *testing.T) {
	for _, tc := range [][2]string{{"6.1.0-9-cloud", "6.1.0-56-cloud"}, {"6.1.0-56", "6.12.1-1"}, {"5.10", "6.1"}} {
		if slices.Compare(numbers(tc[0]), numbers(tc[1])) >= 0 {
			t.Errorf("%s is older than %s", tc[0], tc[1])
		}
	}
}
