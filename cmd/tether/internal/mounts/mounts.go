//go:build linux

// Package mounts attaches the file systems of an executor to their paths in the guest. It is for the
// guest agent alone.
package mounts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/vmexecutor/config-server/executor"
)

// diskLimit is how long a disk is waited for, which a driver that was just loaded may still be about to find.
const (
	diskLimit = 10 * time.Second
	lookAgain = 100 * time.Millisecond
)

// Attach mounts a file system and makes the directory that it is mounted on. It can take as long as the other side of a
// network takes: a mount that has begun does not end with ctx. Errors show no credentials.
func Attach(ctx context.Context, m executor.MountSpec) error {
	source, kind, options, err := resolve(ctx, m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.Path, 0o755); err != nil { //nolint:gosec // as any directory of the system
		return err
	}
	if there(source, m.Path) { // from an earlier agent of this boot
		return nil
	}
	if err := mount.Mount(source, m.Path, kind, options); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) { // the error itself shows all options
			err = errno
		}
		return fmt.Errorf("mount %s: %w", kind, err)
	}
	return nil
}

// there reports whether a source is what one sees at a path.
func there(source, at string) bool {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(path.Clean(at)))
	return err == nil && len(found) > 0 && found[0].Source == source
}

// Detach unmounts what is at a path, if anything is. It fails while that is in use.
func Detach(path string) error {
	if err := unix.Unmount(path, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}

// resolve says what to hand to the kernel.
func resolve(ctx context.Context, m executor.MountSpec) (source, kind, options string, err error) {
	switch m.Source.Scheme {
	case "label":
		d, err := await(ctx, m.Source.Path)
		return d.device, d.kind, m.Mode, err
	case "nfs":
		return nfs(ctx, m)
	case "tmpfs":
		u := url.URL(m.Source)
		return "tether", "tmpfs", join(append(parameters(&u), m.Mode)), nil
	default:
		return "", "", "", fmt.Errorf("sources of the scheme %s are not known here", m.Source.Scheme)
	}
}

// await waits for the disk with a label.
func await(ctx context.Context, label string) (disk, error) {
	ctx, cancel := context.WithTimeout(ctx, diskLimit)
	defer cancel()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		d, err := findLabel(label)
		if err == nil || !errors.Is(err, ErrNoDisk) {
			return d, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return disk{}, err
		}
	}
}

// nfs says what mount.nfs(8) would tell the kernel. The query has its options (nfs(5)); credentials mean nothing to NFS.
func nfs(ctx context.Context, m executor.MountSpec) (source, kind, options string, err error) {
	u := url.URL(m.Source)
	address, err := lookUp(ctx, u.Hostname())
	if err != nil {
		return "", "", "", err
	}
	list := append(parameters(&u), "addr="+address.String())
	if !has(list, "vers", "nfsvers", "v") {
		list = append(list, "vers=4.2")
	}
	if !has(list, "lock", "nolock") {
		list = append(list, "nolock") // which version 4 does not look at, and version 3 needs a daemon for
	}
	if port := u.Port(); port != "" {
		list = append(list, "port="+port)
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + path.Clean("/"+u.Path), "nfs", join(append(list, m.Mode)), nil
}

func lookUp(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return all[0].Unmap(), nil
}

// parameters are those of a query, as mount options: name=value, or the name alone. In order, so that they are always the same.
func parameters(u *url.URL) []string {
	var list []string
	for name, values := range u.Query() {
		for _, value := range values {
			if value != "" {
				value = "=" + value
			}
			list = append(list, name+value)
		}
	}
	slices.Sort(list)
	return list
}

func has(list []string, names ...string) bool {
	return slices.ContainsFunc(list, func(option string) bool {
		name, _, _ := strings.Cut(option, "=")
		return slices.Contains(names, name)
	})
}

func join(options []string) string {
	return strings.Join(slices.DeleteFunc(options, func(o string) bool { return o == "" }), ",")
}
