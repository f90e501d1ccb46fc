//go:build linux

// Package boot does what the first process of a system has to do before anything else works: it mounts what
// the kernel offers, loads modules, and switches the machine off in the end. It is for the guest agent alone, when that is the
// init of an initramfs. As a service it finds all this done.
package boot

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// modules lists the kernel modules to load, a path a line, in the order to load them in.
const modules = "/etc/tether/modules"

// mounted are the file systems that programs expect.
var mounted = []struct {
	kind, at, options string
	flags             uintptr
}{
	{"proc", "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sysfs", "/sys", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"devtmpfs", "/dev", "mode=0755", unix.MS_NOSUID},
	{"devpts", "/dev/pts", "mode=0620,ptmxmode=0666", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"tmpfs", "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"tmpfs", "/run", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
	{"tmpfs", "/tmp", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"cgroup2", "/sys/fs/cgroup", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

// Init makes a system of what the kernel began. What fails is logged: a guest that lacks a part of it can still say so.
func Init(log *slog.Logger) {
	for _, m := range mounted {
		err := os.MkdirAll(m.at, 0o755) //nolint:gosec // as in any system
		if err == nil {
			err = unix.Mount(m.kind, m.at, m.kind, m.flags, m.options)
		}
		if err != nil && !errors.Is(err, syscall.EBUSY) {
			log.Warn("a file system of the kernel is not there", "path", m.at, "err", err)
		}
	}
	for link, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		_ = os.Symlink(target, "/dev/"+link) // as udev would; one that is there is right
	}
	if err := load(log); err != nil {
		log.Warn("kernel modules are not loaded", "err", err)
	}
	if lo, err := netlink.LinkByName("lo"); err == nil {
		err = netlink.LinkSetUp(lo)
		if err != nil {
			log.Warn("there is no loopback network", "err", err)
		}
	}
}

// load loads the modules of the list, if there is one.
func load(log *slog.Logger) error {
	list, err := os.Open(modules)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer list.Close()
	scan := bufio.NewScanner(list)
	for scan.Scan() {
		if err := insert(scan.Text()); err != nil {
			log.Warn("a kernel module is not loaded", "err", err)
		}
	}
	return scan.Err()
}

func insert(file string) error {
	f, err := os.Open(file) //nolint:gosec // from a list that is a part of the image
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("load %s: %w", file, err)
	}
	return nil
}

// PowerOff switches the machine off, and Reboot starts it anew. They do not come back.
func PowerOff() { end(unix.LINUX_REBOOT_CMD_POWER_OFF) }

// Reboot starts the machine anew.
func Reboot() { end(unix.LINUX_REBOOT_CMD_RESTART) }

func end(how int) {
	unix.Sync()
	for {
		_ = unix.Reboot(how) // the first process has nobody to tell, and nowhere to go
	}
}
