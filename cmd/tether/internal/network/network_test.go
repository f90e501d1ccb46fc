//go:build linux

package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vmexecutor/config-server/executor"
)

// tree makes links as sysfs has them, each with the path of its device.
func tree(t *testing.T, links map[string]string) string {
	t.Helper()
	root := t.TempDir()
	class := filepath.Join(root, "class")
	for name, device := range links {
		dir := filepath.Join(root, "devices", device)
		for _, d := range []string{dir, filepath.Join(class, name)} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(dir, filepath.Join(class, name, "device")); err != nil {
			t.Fatal(err)
		}
	}
	return class
}

func TestFind(t *testing.T) {
	root := tree(t, map[string]string{
		"eth0":  "pci0000:00/0000:00:03.0/virtio1",
		"eth1":  "pci0000:00/0000:00:04.0",
		"eth2":  "pci0000:00/0000:00:04.1",
		"ens33": "pci0000:00/0000:00:11.0/0000:02:01.0",
		"ens32": "pci0000:00/0000:00:11.0/0000:02:00.0",
		"ens5":  "pci0000:00/0000:00:15.0/0000:03:00.0",
		"ens6":  "pci0000:00/0000:00:15.1/0000:04:00.0",
		"usb":   "pci0000:00/0000:00:1d.0/usb1/1-1",
	})
	for _, tc := range []struct{ id, name, want string }{
		{"3", "x", "eth0"}, {"0000:00:03.0", "x", "eth0"}, {"00:03.0", "x", "eth0"}, {"4", "x", "eth1"}, {"1028", "x", "eth2"}, // 4 + 1<<10
		{"33", "x", "ens33"}, {"32", "x", "ens32"}, {"160", "x", "ens5"}, {"1184", "x", "ens6"}, {"0000:04:00.0", "x", "ens6"},
		{"", "eth1", "eth1"}, {"", "none", ""}, {"5", "eth1", ""}, {"17", "x", ""}, {"29", "x", "usb"},
	} {
		got, err := find(root, tc.id, tc.name)
		if got != tc.want || (err != nil) != (tc.want == "") || err != nil && !errors.Is(err, ErrNoLink) {
			t.Errorf("%q %q: %q %v, want %q", tc.id, tc.name, got, err, tc.want)
		}
	}
	for _, id := range []string{"x", "-1", "8192", "0000:00:03", "1.5"} {
		if got, err := find(root, id, "eth0"); err == nil || errors.Is(err, ErrNoLink) {
			t.Errorf("%q: %q %v", id, got, err)
		}
	}
}

func TestForEndpoint(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	e := &executor.NetworkEndpoint{Network: executor.ContainerNetwork{Default: true, Destinations: []netip.Prefix{prefix("172.20.0.0/16"), prefix("2001:db8:1::/48")}}}
	four, six := prefix("10.1.0.2/16"), prefix("2001:db8::2/64")
	for _, tc := range []struct {
		address  netip.Prefix
		gateway  netip.Addr
		internal bool
		want     []Route
	}{
		{four, addr("10.1.0.1"), false, []Route{{prefix("172.20.0.0/16"), addr("10.1.0.1")}, {prefix("0.0.0.0/0"), addr("10.1.0.1")}}},
		{six, addr("2001:db8::1"), false, []Route{{prefix("2001:db8:1::/48"), addr("2001:db8::1")}, {prefix("::/0"), addr("2001:db8::1")}}},
		{four, addr("10.1.0.1"), true, []Route{{prefix("172.20.0.0/16"), addr("10.1.0.1")}}},
		{four, netip.Addr{}, false, nil},
		{four, addr("10.1.0.2"), false, nil}, // it is the gateway
		{four, addr("2001:db8::1"), false, nil},
	} {
		e.Internal = tc.internal
		if got := ForEndpoint(e, tc.address, tc.gateway); got.Address != tc.address || !reflect.DeepEqual(got.Routes, tc.want) {
			t.Errorf("%v through %v: %+v, want %v", tc.address, tc.gateway, got, tc.want)
		}
	}
}

func TestResolver(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	if got, want := Resolver("shop.example", []netip.Addr{a, b, a}), "search shop.example\nnameserver 10.0.0.1\nnameserver 2001:db8::1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Resolver("", nil); got != "" {
		t.Errorf("%q", got)
	}
}
