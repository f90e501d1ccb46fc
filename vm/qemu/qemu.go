// Package qemu is the driver for VMs that have no guestinfo: those of QEMU, and of every virtual machine monitor that can map a
// virtio-serial port or vsock to a unix socket. For each executor it listens on a socket of its own, and serves its guest there
// with package guest.
//
// The socket is the VM's identity: whoever can connect to it is that executor's guest. What a guest is served is held in memory
// alone, as it was last given by Apply: the store is the truth, and fills it again after a restart. See docs/adr/0007.
// Package app makes the driver; everybody else knows it as a vm.Host.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vmexecutor/config-server/vm"
)

// Options are what a Driver works with.
type Options struct {
	Dir      string // where the sockets are, absolute; made when it does not exist
	Mode     uint32 // permission bits of the sockets; 0 is 0600
	Group    *int   // the group of the sockets, and of a directory that is made; nil for that of the process
	Software string // what guests are told of the server: config-server/1.2
	Logger   *slog.Logger
	Observer Observer // for metrics; nil for nobody
}

// Observer is told what guests do. Its methods are called concurrently, and must be quick.
type Observer interface {
	// GuestSet tells of a set of a guest that ended.
	GuestSet(result string)
	// GuestRefused tells of what was refused.
	GuestRefused(r Refusal)
}

// Refusal says what a guest was refused. It holds no value.
type Refusal struct {
	Executor string
	Reason   string // one of RefusalReasons
	Key      string // that it may not set, when it fits the schema; names of entries in it are as the guest wrote them
}

// How a set can end.
const (
	SetAccepted = "accepted" // it is in the store
	SetRefused  = "refused"  // the guest may not set that
	SetFailed   = "failed"   // it could not be taken at the moment: the guest tries again
	SetLimited  = "limited"  // it came too soon after others
)

// SetResults are all results that an Observer is told.
func SetResults() []string { return []string{SetAccepted, SetRefused, SetFailed, SetLimited} }

type nobody struct{}

func (nobody) GuestSet(string)      {}
func (nobody) GuestRefused(Refusal) {}

// Driver is a vm.Host. Make one with New.
type Driver struct {
	o      Options
	unlock func() error
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	machines  map[string]*machine // by instance
	executors map[string]*machine
	hints     map[*func(string)]bool
	closed    bool
}

var (
	_ vm.Host       = (*Driver)(nil)
	_ vm.RefChecker = (*Driver)(nil)
)

// New makes a Driver. It takes the directory for itself, and removes the sockets that a server left there when it died.
func New(o Options) (*Driver, error) {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	unlock, err := takeDir(o.Dir, o.Group)
	if err != nil {
		return nil, err
	}
	d := &Driver{o: o, unlock: unlock, machines: map[string]*machine{}, executors: map[string]*machine{}, hints: map[*func(string)]bool{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// Close ends all connections and removes the sockets.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for instance := range d.machines {
		d.detachLocked(instance)
	}
	d.mu.Unlock()
	d.cancel()
	done := make(chan struct{})
	go func() {
		d.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return d.unlock()
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("guests are still served: %w", ctx.Err()), d.unlock())
	}
}

// Resolve implements vm.Driver. The reference names the VM, in any words: which VM that is, is decided by who connects it to the
// socket. It may go on with ?qmp=/path, the socket on which QEMU speaks QMP. The instance is the name.
func (d *Driver) Resolve(ctx context.Context, ref string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	name, _, err := parseRef(ref)
	if err != nil {
		return "", fmt.Errorf("reference %q %w", ref, err)
	}
	return name, nil
}

// CheckRef implements vm.RefChecker.
func (d *Driver) CheckRef(ref string) error {
	_, _, err := parseRef(ref)
	return err
}

// parseRef takes a reference apart. Its error continues a sentence about it.
func parseRef(ref string) (name, qmp string, err error) {
	name, options, more := strings.Cut(ref, "?")
	if name == "" {
		return "", "", errors.New("must begin with a name of the VM")
	}
	if !more {
		return name, "", nil
	}
	values, err := url.ParseQuery(options)
	qmp = values.Get("qmp")
	switch {
	case err != nil || len(values) != 1 || len(values["qmp"]) != 1:
		return "", "", errors.New("must be a name, or a name and ?qmp=/path")
	case !filepath.IsAbs(qmp) || len(qmp) > maxPath || strings.ContainsRune(qmp, 0):
		return "", "", fmt.Errorf("must name the QMP socket by an absolute path of at most %d bytes", maxPath)
	}
	return name, qmp, nil
}

// Watch implements vm.Driver.
func (d *Driver) Watch(ctx context.Context, hint func(instance string)) error {
	d.mu.Lock()
	d.hints[&hint] = true
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	delete(d.hints, &hint)
	d.mu.Unlock()
	return ctx.Err()
}

// hint tells all who watch that something about a VM changed that no Apply did.
func (d *Driver) hint(instance string) {
	d.mu.Lock()
	hints := make([]func(string), 0, len(d.hints))
	for hint := range d.hints {
		hints = append(hints, *hint)
	}
	d.mu.Unlock()
	for _, hint := range hints {
		hint(instance)
	}
}

// Guests gives how many VMs are connected, and of how many of them the guest said hello.
func (d *Driver) Guests() (connected, greeted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.machines {
		c, g := m.present()
		connected, greeted = connected+c, greeted+g
	}
	return connected, greeted
}
