//go:build linux

package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoDisk is the error while no disk has the label, which may still come.
var ErrNoDisk = errors.New("no disk has this label")

// disk is a file system on a block device.
type disk struct {
	device, kind, label string
}

// findLabel looks at every block device that the kernel has. It does not rely on /dev/disk/by-label, which a udev daemon
// makes that a small guest does not have.
func findLabel(label string) (disk, error) {
	devices, err := filepath.Glob("/sys/class/block/*")
	if err != nil {
		return disk{}, err
	}
	for _, device := range devices {
		d, err := identify(filepath.Join("/dev", filepath.Base(device)))
		if err == nil && d.label == label {
			return d, nil
		}
	}
	return disk{}, fmt.Errorf("label %q: %w", label, ErrNoDisk)
}

// superblock says where a kind of file system has its mark and its label, as the Linux headers of each have it.
type superblock struct {
	kind         string
	magic        string
	magicAt      int64
	label, width int64
}

var superblocks = []superblock{
	{"ext4", "\x53\xef", 0x438, 0x478, 16}, // ext2 and ext3 as well, which this driver mounts
	{"xfs", "XFSB", 0, 0x6c, 12},
	{"btrfs", "_BHRfS_M", 0x10040, 0x1012b, 256},
	{"vfat", "FAT32   ", 0x52, 0x47, 11},
	{"vfat", "FAT16   ", 0x36, 0x2b, 11},
	{"vfat", "FAT12   ", 0x36, 0x2b, 11},
	{"iso9660", "CD001", 0x8001, 0x8028, 32},
}

// identify reads what is on a device.
func identify(device string) (disk, error) {
	f, err := os.Open(device) //nolint:gosec // a device that the kernel lists
	if err != nil {
		return disk{}, err
	}
	defer f.Close()
	for _, s := range superblocks {
		if text(f, s.magicAt, int64(len(s.magic))) == s.magic {
			label, _, _ := strings.Cut(text(f, s.label, s.width), "\x00")
			return disk{device, s.kind, strings.TrimRight(label, " ")}, nil
		}
	}
	return disk{}, fmt.Errorf("%s has no file system that is known here", device)
}

// text reads some bytes; a device that ends before has none there.
func text(r io.ReaderAt, at, n int64) string {
	var b bytes.Buffer
	_, _ = io.Copy(&b, io.NewSectionReader(r, at, n))
	return b.String()
}
