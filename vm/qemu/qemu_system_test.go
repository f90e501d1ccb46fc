//go:build system

package qemu_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vmexecutor/config-server/vm"
)

// TestSystemQMP: a real QEMU connects its port to the socket, and tells its power.
func TestSystemQMP(t *testing.T) {
	f := newFixture(t)
	qmp := filepath.Join(f.dir, "qmp")
	a := f.attachment("vm")
	a.Ref = "vm?qmp=" + qmp
	must(t, f.Attach(t.Context(), "vm", a))
	socket, err := f.Socket("vm")
	must(t, err)
	f.state(t, "vm", "off", func(s vm.State) bool { return s.Power == vm.PowerOff })
	for range 2 {
		cmd := exec.Command("qemu-system-x86_64", "-M", "pc", "-m", "32", "-nodefaults", "-no-user-config", "-display", "none",
			"-qmp", "unix:"+qmp+",server=on,wait=off", "-device", "virtio-serial-pci", "-chardev", "socket,id=guest,path="+socket+",reconnect=1",
			"-device", "virtserialport,chardev=guest,name=vmexecutor.tether.0")
		must(t, cmd.Start())
		f.state(t, "vm", "on, and no guest has booted", func(s vm.State) bool {
			connected, _ := f.Guests()
			return connected == 1 && s.Power == vm.PowerOn && s.Booting
		})
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // says that it was killed
		f.state(t, "vm", "off again", func(s vm.State) bool { return s.Power == vm.PowerOff })
	}
}
