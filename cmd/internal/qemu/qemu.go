// Package qemu runs VMs for the demo and the tests: a process of QEMU each, its console, and its end. The
// machine is emulated, without KVM, so that it runs wherever QEMU does.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

const program = "qemu-system-x86_64"

// ErrNoQEMU says which package to install.
var ErrNoQEMU = errors.New("there is no " + program + ": on Debian, apt-get install qemu-system-x86")

// Check tells whether QEMU is here.
func Check() error {
	if _, err := exec.LookPath(program); err != nil {
		return ErrNoQEMU
	}
	return nil
}

// Options say what a VM is made of.
type Options struct {
	Kernel, Initramfs string
	MemoryMiB         int    // 128 when 0
	Append            string // to the kernel's command line
	GuestSocket       string // unix socket that the guest's port is connected to, if any
	GuestPort         string // name of that port
	QMPSocket         string // where QEMU listens for commands, if anywhere
	NICs              []NIC
	Disks             []string // files of raw images, in the order of their PCI slots after the network cards'
	Reboots           bool     // a guest that reboots does so; otherwise that ends the VM
}

// NIC is a network card.
type NIC struct {
	Slot    int    // PCI slot of the root bus
	MAC     string // must differ between VMs of one network
	Backend string // as -netdev takes it, without its id: user, or socket,listen=127.0.0.1:0
}

// VM is a running one.
type VM struct {
	Console *Console
	cmd     *exec.Cmd
	ended   chan struct{}
	err     error
}

// Start starts a VM, which ends with ctx at the latest. Its console begins empty.
func Start(ctx context.Context, o Options) (*VM, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(ctx)
	v := &VM{Console: newConsole(), ended: make(chan struct{})}
	v.cmd = exec.CommandContext(ctx, program, o.arguments()...) //nolint:gosec // the options are the caller's
	var complaints strings.Builder
	v.cmd.Stdout, v.cmd.Stderr = v.Console, &complaints
	v.cmd.SysProcAttr = endWithParent
	if err := v.cmd.Start(); err != nil {
		kill()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		defer kill()
		if v.err = v.cmd.Wait(); v.err != nil {
			v.err = fmt.Errorf("%w\n%s", v.err, complaints.String())
		}
		v.Console.end()
		close(v.ended)
	}()
	return v, nil
}

func (o Options) arguments() []string {
	memory := o.MemoryMiB
	if memory == 0 {
		memory = 128
	}
	args := []string{
		"-M", "pc", "-cpu", "max", "-m", strconv.Itoa(memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-kernel", o.Kernel, "-initrd", o.Initramfs, "-append", strings.TrimSpace("console=ttyS0 quiet panic=-1 " + o.Append),
		"-device", "virtio-rng-pci,addr=0x1e", "-device", "virtio-serial-pci,addr=0x1f",
	}
	if !o.Reboots {
		args = append(args, "-no-reboot")
	}
	if o.GuestSocket != "" {
		args = append(args, "-chardev", "socket,id=guest,reconnect=1,path="+o.GuestSocket, "-device", "virtserialport,chardev=guest,name="+o.GuestPort)
	}
	if o.QMPSocket != "" {
		args = append(args, "-qmp", "unix:"+o.QMPSocket+",server=on,wait=off")
	}
	for i, n := range o.NICs {
		kind, rest, _ := strings.Cut(n.Backend, ",")
		if rest != "" {
			rest = "," + rest
		}
		args = append(args, "-netdev", fmt.Sprintf("%s,id=net%d%s", kind, i, rest),
			"-device", fmt.Sprintf("virtio-net-pci,romfile=,netdev=net%d,mac=%s,addr=%#x", i, n.MAC, n.Slot))
	}
	for i, file := range o.Disks {
		args = append(args, "-drive", fmt.Sprintf("if=none,format=raw,id=disk%d,file=%s", i, file),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d,addr=%#x", i, 0x10+i))
	}
	return args
}

// PID is that of the process.
func (v *VM) PID() int { return v.cmd.Process.Pid }

// Kill ends the VM as a power failure would, and waits for that.
func (v *VM) Kill() {
	_ = v.cmd.Process.Kill() // it may have ended by itself
	<-v.ended
}

// Ended is closed when the VM has ended.
func (v *VM) Ended() <-chan struct{} { return v.ended }

// Wait waits until the VM has ended, and says how if that was not in order.
func (v *VM) Wait(ctx context.Context) error {
	select {
	case <-v.ended:
		return v.err
	case <-ctx.Done():
		return fmt.Errorf("the VM did not end: %w", context.Cause(ctx))
	}
}
