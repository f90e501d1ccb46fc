package initramfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// Kernel is one that is installed on this machine, for VMs to boot.
type Kernel struct {
	Image   string // path of the bzImage
	Modules string // directory with modules.dep
}

// ErrNoKernel says which package to install.
var ErrNoKernel = errors.New("there is no kernel for a VM in /boot: on Debian, apt-get install linux-image-cloud-amd64")

// FindKernel finds the newest of Debian's kernels for VMs.
func FindKernel() (Kernel, error) {
	images, err := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	if err != nil || len(images) == 0 {
		return Kernel{}, ErrNoKernel
	}
	image := slices.MaxFunc(images, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	k := Kernel{Image: image, Modules: filepath.Join("/lib/modules", strings.TrimPrefix(filepath.Base(image), "vmlinuz-"))}
	if _, err := os.Stat(filepath.Join(k.Modules, "modules.dep")); err != nil {
		return Kernel{}, fmt.Errorf("the modules of %s: %w", image, err)
	}
	return k, nil
}

// numbers are those in a version, which is older than another when they are smaller.
func numbers(version string) []int {
	var all []int
	for field := range strings.FieldsFuncSeq(version, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(field) // what is too long for an int is no version
		all = append(all, n)
	}
	return all
}

// order gives the files of modules, and of all that they need, each after what it needs. A module
// that is no file is built into the kernel, or does not exist, which FindKernel's directory tells apart.
func (k Kernel) order(names []string) ([]string, error) {
	needs, files, err := k.dependencies()
	if err != nil {
		return nil, err
	}
	var ordered []string
	var add func(file string)
	add = func(file string) {
		if slices.Contains(ordered, file) {
			return
		}
		for _, needed := range needs[file] {
			add(needed)
		}
		ordered = append(ordered, file)
	}
	for _, name := range names {
		file, ok := files[name]
		if !ok {
			if k.builtin(name) {
				continue
			}
			return nil, fmt.Errorf("%s has no module %s", k.Modules, name)
		}
		add(file)
	}
	return ordered, nil
}

// dependencies reads modules.dep: what each file needs, and the file of each module.
func (k Kernel) dependencies() (needs map[string][]string, files map[string]string, err error) {
	list, err := os.Open(filepath.Join(k.Modules, "modules.dep"))
	if err != nil {
		return nil, nil, err
	}
	defer list.Close()
	needs, files = map[string][]string{}, map[string]string{}
	for scan := bufio.NewScanner(list); scan.Scan(); {
		file, needed, ok := strings.Cut(scan.Text(), ":")
		if !ok {
			continue
		}
		// The nearest is named first, and is to be loaded last.
		needs[file] = strings.Fields(needed)
		slices.Reverse(needs[file])
		files[moduleName(file)] = file
	}
	return needs, files, nil
}

func (k Kernel) builtin(name string) bool {
	list, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
	return err == nil && slices.ContainsFunc(strings.Fields(string(list)), func(file string) bool { return moduleName(file) == name })
}

// moduleName is what lsmod calls the module of a file.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// read gives a module as the kernel takes it: Debian compresses them since its release 13.
func (k Kernel) read(file string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(k.Modules, file)) //nolint:gosec // a file that modules.dep names
	if err != nil || !strings.HasSuffix(file, ".xz") {
		return content, err
	}
	plain, err := xz.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return io.ReadAll(plain)
}
