//go:build linux && system

package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/cmd/internal/initramfs"
	"github.com/vmexecutor/config-server/cmd/internal/qemu"
	"github.com/vmexecutor/config-server/cmd/tether/internal/hosttest"
	"github.com/vmexecutor/config-server/executor"
)

// limit ends a test whose VM never gets where it should: emulation is slow on a machine with other work.
const limit = 8 * time.Minute

// bench has the tether on a real kernel, with a host in memory to talk to.
type bench struct {
	*testing.T
	*hosttest.Host
	ctx context.Context
	vm  *qemu.VM
}

func bootVM(t *testing.T, config *executor.ExecutorConfig, o qemu.Options) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	dir := t.TempDir()
	k, err := initramfs.FindKernel()
	if err != nil {
		t.Fatal(err)
	}
	tether := filepath.Join(dir, "tether")
	if err := initramfs.BuildTether(ctx, tether); err != nil {
		t.Fatal(err)
	}
	o.Kernel, o.Initramfs, o.GuestSocket, o.GuestPort = k.Image, filepath.Join(dir, "initramfs"), filepath.Join(dir, "s"), "another.port"
	o.Append = "TETHER_CHANNEL=virtio:" + o.GuestPort // which the kernel hands on to the init
	if err := initramfs.Guest(k, tether, o.Initramfs); err != nil {
		t.Fatal(err)
	}
	config.ID = "e"
	host, err := hosttest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", o.GuestSocket)
	if err != nil {
		t.Fatal(err)
	}
	go host.Serve(ctx, l)
	vm, err := qemu.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		vm.Kill()
		if t.Failed() {
			t.Logf("the console:\n%s", vm.Console)
		}
	})
	return &bench{t, host, ctx, vm}
}

func (b *bench) await(is func(*executor.ExecutorConfig) bool) *executor.ExecutorConfig {
	b.Helper()
	config, err := b.Await(b.ctx, is)
	if err != nil {
		b.Fatal(err)
	}
	return config
}

// run runs a script as an exec, to its end, and gives the lines that it wrote.
func (b *bench) run(id, script string) (exit int, lines []string) {
	b.Helper()
	err := b.Change(func(c *executor.ExecutorConfig) {
		if c.Execs == nil {
			c.Execs = map[string]*executor.SessionConfig{}
		}
		c.Execs[id] = shell(id, "("+script+") 2>&1; code=$?; echo end-of-"+id+"; exit $code")
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.vm.Console.Await(b.ctx, `^\[`+id+`\] end-of-`+id); err != nil {
		b.Fatal(err)
	}
	c := b.await(func(c *executor.ExecutorConfig) bool { return c.Execs[id].Detail.StopTime != 0 })
	for line := range strings.Lines(b.vm.Console.String()) {
		if text, ok := strings.CutPrefix(line, "["+id+"] "); ok && !strings.HasPrefix(text, "end-of-") {
			lines = append(lines, strings.TrimSuffix(text, "\n"))
		}
	}
	return c.Execs[id].ExitStatus, lines
}

func (b *bench) writes(id, script string, want ...string) {
	b.Helper()
	if _, got := b.run(id, script); !slices.Equal(got, want) {
		b.Errorf("%s: %s\nwrites %q\nwant   %q", id, script, got, want)
	}
}

func shell(id, script string) *executor.SessionConfig {
	s := &executor.SessionConfig{Active: true, Cmd: executor.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}
	s.ID = id
	return s
}

// disk makes an ext4 file system with a label and a file.
func disk(t *testing.T, label string) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(filepath.Join(dir, "on"), []byte(label+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/sbin/mke2fs", "-q", "-t", "ext4", "-L", label, "-d", dir, image, "8M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return image
}

func prefix(s string) *netip.Prefix {
	p := netip.MustParsePrefix(s)
	return &p
}

func endpoint(name, slot string) *executor.NetworkEndpoint {
	return &executor.NetworkEndpoint{Common: executor.Common{Name: name, ID: slot}}
}

func mount(t *testing.T, source, path, mode string) executor.MountSpec {
	t.Helper()
	s, err := executor.ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	return executor.MountSpec{Source: s, Path: path, Mode: mode}
}

// TestSystemGuest boots a kernel with everything that an executor can ask for, and looks at it from inside.
func TestSystemGuest(t *testing.T) {
	four, six, leased := endpoint("four", "3"), endpoint("six", "0000:00:04.0"), endpoint("leased", "5")
	four.Static, four.IP = true, prefix("10.1.0.2/16")
	four.Network.Gateway, four.Network.Default = *prefix("10.1.0.1/16"), true
	four.Network.Destinations = []netip.Prefix{*prefix("172.20.0.0/16")}
	four.Network.Nameservers = []netip.Addr{netip.MustParseAddr("10.1.0.53")}
	six.IP, six.Network.Gateway, six.Network.Default = prefix("2001:db8::2/64"), *prefix("2001:db8::1/64"), true
	six.Network.Nameservers = []netip.Addr{netip.MustParseAddr("2001:db8::53")}
	web := shell("web", "echo at $(hostname); exec sleep 100000")
	web.StopSignal = "SIGUSR1"
	user := shell("user", "id; echo $HOME; touch /x; exit 4")
	user.User, user.Cmd.Dir = "guest", "/tmp"
	tty := shell("tty", "tty; stty size")
	tty.Tty = true
	config := &executor.ExecutorConfig{
		Hostname: "box", Domainname: "shop.example",
		Sessions: map[string]*executor.SessionConfig{"web": web, "user": user, "tty": tty},
		Networks: map[string]*executor.NetworkEndpoint{"four": four, "six": six, "leased": leased},
		Mounts: map[string]executor.MountSpec{
			"inner": mount(t, "label:///inner", "/srv/data/inner", "ro"), "outer": mount(t, "label:///outer", "/srv/data", ""),
			"tmp": mount(t, "tmpfs:///?size=1m", "/scratch", ""), "bad": mount(t, "label:///missing", "/bad", ""),
		},
	}
	began := time.Now()
	b := bootVM(t, config, qemu.Options{
		NICs: []qemu.NIC{
			{Slot: 3, MAC: "52:54:00:00:00:03", Backend: "hubport,hubid=1"}, {Slot: 4, MAC: "52:54:00:00:00:04", Backend: "hubport,hubid=2"},
			{Slot: 5, MAC: "52:54:00:00:00:05", Backend: "user"},
		},
		Disks: []string{disk(t, "inner"), disk(t, "outer")},
	})

	c := b.await(func(c *executor.ExecutorConfig) bool {
		return c.Sessions["web"].Started == "true" && c.Sessions["user"].Detail.StopTime != 0 && c.Sessions["tty"].Detail.StopTime != 0
	})
	t.Logf("everything was up %.1f s after the start of QEMU", time.Since(began).Seconds())
	if c.Sessions["user"].ExitStatus != 4 {
		t.Errorf("user: %+v", c.Sessions["user"])
	}
	for name, want := range map[string]string{"four": "10.1.0.2/16", "six": "2001:db8::2/64", "leased": "10.0.2.15/24"} {
		if got := c.Networks[name].Assigned.String(); got != want {
			t.Errorf("%s was assigned %s, want %s", name, got, want)
		}
	}
	if got := c.Networks["leased"].Network.Assigned; got.Gateway.String() != "10.0.2.2/24" || !slices.Equal(got.Nameservers, []netip.Addr{netip.MustParseAddr("10.0.2.3")}) {
		t.Errorf("learned from DHCP: %+v", got)
	}
	if logs := c.Diagnostics.ExitLogs; len(logs) != 1 || logs[0].Message != `attach a mount (bad): label:///missing at /bad: label "missing": no disk has this label` {
		t.Errorf("%+v", logs)
	}
	for _, line := range []string{
		`^\[web\] at box$`, `^\[user\] uid=1000\(guest\) gid=1000\(guest\) groups=1001\(extra\)$`, `^\[user\] /tmp$`, `^\[user\] touch: /x: Permission denied$`,
		`^\[tty\] /dev/pts/0$`, `^\[tty\] 24 80$`,
	} {
		if _, err := b.vm.Console.Await(b.ctx, line); err != nil {
			t.Error(err)
		}
	}

	b.writes("names", "hostname; cat /proc/sys/kernel/domainname /etc/resolv.conf", "box", "shop.example",
		"search shop.example", "nameserver 10.1.0.53", "nameserver 2001:db8::53", "nameserver 10.0.2.3")
	b.writes("mounts", "cat /srv/data/on /srv/data/inner/on; touch /srv/data/x && touch /srv/data/inner/x; grep -o 'scratch tmpfs rw.*size=1024k' /proc/mounts",
		"outer", "inner", "touch: /srv/data/inner/x: Read-only file system", "scratch tmpfs rw,relatime,size=1024k")
	b.writes("routes", "ip route | grep -v '/24' | sort; ip -6 route | grep ^default | grep -v fe80",
		"10.1.0.0/16 dev eth0 scope link  src 10.1.0.2 ", "172.20.0.0/16 via 10.1.0.1 dev eth0  metric 102 ", "default via 10.1.0.1 dev eth0  metric 102 ",
		"default via 2001:db8::1 dev eth1  metric 103 ")

	// What changes while it runs.
	err := b.Change(func(c *executor.ExecutorConfig) {
		c.Hostname = "crate"
		c.Networks["four"].IP, c.Networks["four"].Network.Gateway = prefix("10.1.0.9/16"), *prefix("10.1.0.254/16")
		c.Networks["four"].Network.Nameservers = []netip.Addr{netip.MustParseAddr("10.1.0.54")}
		delete(c.Networks, "six")
		delete(c.Mounts, "inner")
		c.Sessions["web"].Active = false
	})
	if err != nil {
		t.Fatal(err)
	}
	c = b.await(func(c *executor.ExecutorConfig) bool {
		return c.Networks["four"].Assigned == *prefix("10.1.0.9/16") && c.Sessions["web"].Detail.StopTime != 0
	})
	if s := c.Sessions["web"]; s.ExitStatus != 128+10 || s.Diagnostics.ExitLogs[0].Message != "ended by SIGUSR1" {
		t.Errorf("the stop signal: %+v", s)
	}
	b.writes("later", "hostname; grep name /etc/resolv.conf; ls /srv/data/inner; ip route | grep default; ip addr | grep -c -e 10.1.0.2/ -e 2001:db8::2", "crate",
		"nameserver 10.1.0.54", "nameserver 10.0.2.3", "default via 10.1.0.254 dev eth0  metric 102 ", "0")

	// The other programs of the guest share the agent's channel.
	b.writes("shared", "/init get guestinfo.vice./hostname; ls -l /run/tether.sock | cut -c1-10", "crate", "srw-------")

	// Orphans are taken care of: none stays behind as a zombie.
	b.writes("orphans", "for i in 1 2 3; do (sleep 0.01 & ); done; sleep 1; grep -h State /proc/[0-9]*/status | grep -c Z", "0")
	if n := len(b.Hellos()); n != 1 {
		t.Errorf("the guest said hello %d times", n)
	}
}
