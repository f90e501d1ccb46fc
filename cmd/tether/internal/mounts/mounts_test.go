//go:build linux

package mounts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
)

// image makes the beginning of a disk, with texts at offsets.
func image(t *testing.T, texts map[int64]string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, text := range texts {
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

func TestIdentify(t *testing.T) {
	for _, tc := range []struct {
		texts       map[int64]string
		kind, label string
	}{
		{map[int64]string{0x438: "\x53\xef", 0x478: "data\x00rest-of-it"}, "ext4", "data"},
		{map[int64]string{0x438: "\x53\xef", 0x478: "sixteen-letters-"}, "ext4", "sixteen-letters-"},
		{map[int64]string{0: "XFSB", 0x6c: "twelve-chars"}, "xfs", "twelve-chars"},
		{map[int64]string{0x10040: "_BHRfS_M", 0x1012b: "with spaces in it"}, "btrfs", "with spaces in it"},
		{map[int64]string{0x52: "FAT32   ", 0x47: "CONFIG     "}, "vfat", "CONFIG"},
		{map[int64]string{0x36: "FAT16   ", 0x2b: "BOOT       "}, "vfat", "BOOT"},
		{map[int64]string{0x8001: "CD001", 0x8028: "CIDATA                          "}, "iso9660", "CIDATA"},
	} {
		if d, err := identify(image(t, tc.texts)); err != nil || d.kind != tc.kind || d.label != tc.label {
			t.Errorf("%+v %v, want %s %q", d, err, tc.kind, tc.label)
		}
	}
	for _, texts := range []map[int64]string{{}, {0: "XFS"}, {0x438: "\x53"}, {0x500: "nothing of interest"}} {
		if d, err := identify(image(t, texts)); err == nil {
			t.Errorf("%+v", d)
		}
	}
	if _, err := identify("/no/such/device"); err == nil {
		t.Error("no error without a device")
	}
}

func TestResolve(t *testing.T) {
	for _, tc := range []struct{ source, mode, device, kind, options string }{
		{"nfs://192.0.2.7/export/shop?vers=3&ro", "noatime", "192.0.2.7:/export/shop", "nfs", "ro,vers=3,addr=192.0.2.7,nolock,noatime"},
		{"nfs://user:s3cret@192.0.2.7:2050/x", "", "192.0.2.7:/x", "nfs", "addr=192.0.2.7,vers=4.2,nolock,port=2050"},
		{"nfs://[2001:db8::7]/x?lock", "", "[2001:db8::7]:/x", "nfs", "lock,addr=2001:db8::7,vers=4.2"},
		{"tmpfs:///?size=1m", "ro", "tether", "tmpfs", "size=1m,ro"},
	} {
		source, err := executor.ParseSource(tc.source)
		if err != nil {
			t.Fatal(err)
		}
		device, kind, options, err := resolve(t.Context(), executor.MountSpec{Source: source, Mode: tc.mode})
		if err != nil || device != tc.device || kind != tc.kind || options != tc.options {
			t.Errorf("%s: %q %q %q %v, want %q %q %q", tc.source, device, kind, options, err, tc.device, tc.kind, tc.options)
		}
	}
	source, err := executor.ParseSource("cifs://user:s3cret@nas/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = resolve(t.Context(), executor.MountSpec{Source: source}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}
