package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mdlayher/vsock"
)

// Address gives the Opener of an address: unix:/path, virtio:NAME (a virtio-serial port), vsock:CID:PORT, or the path of
// a device. What it names need not be there yet.
func Address(address string) (Opener, error) {
	kind, rest, _ := strings.Cut(address, ":")
	switch {
	case strings.HasPrefix(address, "/"):
		return device(func() (string, error) { return address, nil }), nil
	case kind == "unix" && rest != "":
		return func(ctx context.Context) (io.ReadWriteCloser, error) {
			return new(net.Dialer).DialContext(ctx, "unix", rest)
		}, nil
	case kind == "virtio" && rest != "" && !strings.Contains(rest, "/"):
		return device(func() (string, error) { return port(rest) }), nil
	case kind == "vsock":
		cid, port, err := vsockAddress(rest)
		if err != nil {
			return nil, err
		}
		return func(context.Context) (io.ReadWriteCloser, error) { return vsock.Dial(cid, port, nil) }, nil
	}
	return nil, fmt.Errorf("%q is no address: unix:/path, virtio:NAME, vsock:CID:PORT or /dev/... are", address)
}

func vsockAddress(text string) (cid, port uint32, err error) {
	first, second, ok := strings.Cut(text, ":")
	c, errC := strconv.ParseUint(first, 10, 32)
	p, errP := strconv.ParseUint(second, 10, 32)
	if !ok || errC != nil || errP != nil {
		return 0, 0, fmt.Errorf("vsock:%s is no address: vsock:CID:PORT are two numbers, the host's CID is 2", text)
	}
	return uint32(c), uint32(p), nil
}

// device opens a character device, which gives up reads and writes when it is closed.
func device(path func() (string, error)) Opener {
	return func(context.Context) (io.ReadWriteCloser, error) {
		name, err := path()
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // whom the caller wants to talk to
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}

const (
	portLinks = "/dev/virtio-ports"       // made by udev, by name
	portInfo  = "/sys/class/virtio-ports" // and what the kernel knows
)

// ErrNoPort is the error of a virtio-serial port that is not there, or not yet.
var ErrNoPort = errors.New("no such virtio-serial port")

// port finds the device of a virtio-serial port, with udev or without.
func port(name string) (string, error) {
	if link := filepath.Join(portLinks, name); exists(link) {
		return link, nil
	}
	ports, err := filepath.Glob(filepath.Join(portInfo, "*", "name"))
	if err != nil {
		return "", err
	}
	for _, p := range ports {
		text, err := os.ReadFile(p) //nolint:gosec // below /sys
		if err == nil && strings.TrimSpace(string(text)) == name {
			return filepath.Join("/dev", filepath.Base(filepath.Dir(p))), nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNoPort, name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
