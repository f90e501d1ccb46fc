// Package initramfs packs what a VM needs to boot into an archive that the Linux kernel unpacks: a
// static init, kernel modules, programs for sessions. It is for the demo and the tests; images that people make
// have tools of their own (docs/guests.md).
package initramfs

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// ModuleList is the file that lists the kernel modules of an archive, a path a line, in the order to load them in.
const ModuleList = "/etc/tether/modules"

// Archive is an initramfs in the making. Directories come by themselves.
type Archive struct {
	records []cpio.Record
	dirs    map[string]bool
}

// New begins an empty archive.
func New() *Archive {
	root := cpio.Directory(".", 0o755) // the kernel's own lets everybody write
	return &Archive{records: []cpio.Record{root}, dirs: map[string]bool{"/": true}}
}

// Dir adds a directory.
func (a *Archive) Dir(name string) {
	if name = path.Clean(name); a.dirs[name] {
		return
	}
	a.dirs[name] = true
	a.Dir(path.Dir(name))
	a.records = append(a.records, cpio.Directory(name[1:], 0o755))
}

// File adds a file.
func (a *Archive) File(name string, mode os.FileMode, content []byte) {
	a.Dir(path.Dir(name))
	a.records = append(a.records, cpio.StaticFile(name[1:], string(content), uint64(mode.Perm())))
}

// Copy adds a file of this machine.
func (a *Archive) Copy(name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from) //nolint:gosec // the caller's choice
	if err != nil {
		return err
	}
	a.File(name, info.Mode(), content)
	return nil
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.Dir(path.Dir(name))
	a.records = append(a.records, cpio.Symlink(name[1:], target))
}

// Modules adds modules of a kernel, what they need, and ModuleList.
func (a *Archive) Modules(k Kernel, names ...string) error {
	files, err := k.order(names)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, file := range files {
		content, err := k.read(file)
		if err != nil {
			return fmt.Errorf("read a module: %w", err)
		}
		name := "/lib/modules/" + moduleName(file) + ".ko"
		a.File(name, 0o644, content)
		list.WriteString(name + "\n")
	}
	a.File(ModuleList, 0o644, []byte(list.String()))
	return nil
}

// Write makes the archive's file.
func (a *Archive) Write(file string) error {
	out, err := os.Create(file) //nolint:gosec // the caller's choice
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	w := cpio.Newc.Writer(buffered)
	err = cpio.WriteRecords(w, a.records)
	if err == nil {
		err = cpio.WriteTrailer(w)
	}
	if err == nil {
		err = buffered.Flush()
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
