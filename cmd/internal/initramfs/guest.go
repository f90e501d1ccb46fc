package initramfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// busybox is the static one of Debian, for sessions to run.
const busybox = "/bin/busybox"

// ErrNoBusybox says which package to install.
var ErrNoBusybox = fmt.Errorf("there is no %s: on Debian, apt-get install busybox-static", busybox)

// Guest writes an initramfs whose init is the tether, with modules
// for the network cards, disks and channels that VMs have, and a busybox as /bin/sh.
func Guest(k Kernel, tether, file string) error {
	a := New()
	if err := a.Copy("/init", tether); err != nil {
		return err
	}
	if err := a.Copy("/bin/busybox", busybox); err != nil {
		return fmt.Errorf("%w (%w)", ErrNoBusybox, err)
	}
	a.Link("/bin/sh", "busybox")
	a.File("/etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n"))
	a.File("/etc/group", 0o644, []byte("root:x:0:\nguest:x:1000:\nextra:x:1001:guest\n"))
	if err := a.Modules(k, "virtio_pci", "virtio_console", "virtio_rng", "virtio_net", "virtio_blk", "ext4", "nfsv4", "nfsv3", "vmw_vsock_virtio_transport"); err != nil {
		return err
	}
	return a.Write(file)
}

// BuildTether builds the static binary of the agent.
func BuildTether(ctx context.Context, file string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "github.com/vmexecutor/config-server/cmd/tether") //nolint:gosec // the file is the caller's choice
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tether: %w\n%s", err, out)
	}
	return nil
}
