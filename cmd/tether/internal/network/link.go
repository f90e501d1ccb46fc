//go:build linux

// Package network brings a guest's network cards up as its endpoints say: it finds the card, gives it
// addresses and routes, and asks for them by DHCP. It is for the guest agent alone.
package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// classNet is where the kernel lists its network links.
const classNet = "/sys/class/net"

// Find gives the name of the link of an endpoint. The id is the PCI slot of its card: a number, as vSphere
// and QEMU count slots, or an address such as 0000:00:03.0. Without an id, the link is that of the endpoint's name.
func Find(id, name string) (string, error) { return find(classNet, id, name) }

// ErrNoLink is the error while there is no such card, which may still come.
var ErrNoLink = errors.New("there is no such network card")

func find(root, id, name string) (string, error) {
	if id == "" {
		if _, err := os.Stat(filepath.Join(root, filepath.Base(name))); err != nil {
			return "", fmt.Errorf("link %q: %w", name, ErrNoLink)
		}
		return name, nil
	}
	behind, err := pciPath(id)
	if err != nil {
		return "", err
	}
	links, err := os.ReadDir(root)
	if err != nil {
		return "", fmt.Errorf("list the network links: %w", err)
	}
	for _, link := range links {
		device, err := filepath.EvalSymlinks(filepath.Join(root, link.Name(), "device"))
		if err == nil && isAt(device, behind) {
			return link.Name(), nil
		}
	}
	return "", fmt.Errorf("PCI slot %s: %w", id, ErrNoLink)
}

var pciAddress = regexp.MustCompile(`^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// pciPath gives the PCI addresses that lead to a slot, as patterns: that of the card, and before it that of a bridge if
// it is behind one. A slot number has the device in its lowest five bits; in the next five, unless they are 0, the bridge, which
// is device 16 and that number; above, the function of the bridge, or of a card that is behind none (VMware's article
// 2047927 on pciSlotNumber).
func pciPath(id string) ([]*regexp.Regexp, error) {
	if address := strings.ToLower(id); pciAddress.MatchString(address) {
		if strings.Count(address, ":") == 1 {
			address = "0000:" + address
		}
		return []*regexp.Regexp{exactly(regexp.QuoteMeta(address))}, nil
	}
	slot, err := strconv.ParseUint(id, 10, 13)
	if err != nil {
		return nil, fmt.Errorf("the id %q is no PCI slot", id)
	}
	device, bridge, function := slot&0x1f, slot>>5&0x1f, slot>>10
	if bridge == 0 {
		return []*regexp.Regexp{exactly(fmt.Sprintf(`0000:00:%02x\.%d`, device, function))}, nil
	}
	return []*regexp.Regexp{
		exactly(fmt.Sprintf(`0000:00:%02x\.%d`, 0x10+bridge, function)),
		exactly(fmt.Sprintf(`0000:[0-9a-f]{2}:%02x\.0`, device)),
	}, nil
}

func exactly(pattern string) *regexp.Regexp { return regexp.MustCompile("^" + pattern + "$") }

// isAt reports whether a device of sysfs is that at the end of some PCI addresses, or a part of it: a virtio device
// has a directory of its own below.
func isAt(device string, behind []*regexp.Regexp) bool {
	parts := slices.DeleteFunc(strings.Split(device, "/"), func(part string) bool { return !pciAddress.MatchString(part) })
	if len(parts) < len(behind) {
		return false
	}
	for i, part := range parts[len(parts)-len(behind):] {
		if !behind[i].MatchString(part) {
			return false
		}
	}
	return true
}
