// Package vsphere is the vm.Driver for vSphere: a VM's pairs are its extraConfig.
//
// Only app and tests import it, and it alone (with the packages below it) imports govmomi.
package vsphere

import (
	"context"
	"errors"
	"log/slog"
	"net/url"

	"github.com/vmexecutor/config-server/vm"
)

// Options says which vSphere to speak to, and as whom.
type Options struct {
	// URL of the SDK endpoint, such as https://vcenter.example.com/sdk. The path may be left out.
	// User information in it is not used.
	URL *url.URL
	// Username and Password are the account that the driver logs in with.
	Username, Password string
	// Insecure accepts any certificate.
	Insecure bool
	// Logger hears of log-ins and outages. Nil: nobody does.
	Logger *slog.Logger
}

// Driver is a vm.Driver for the VMs of one vCenter or ESX host.
type Driver struct{}

var _ vm.Driver = (*Driver)(nil)

// New makes a driver. It does not connect: that happens when a call needs it.
func New(o Options) (*Driver, error) { return &Driver{}, nil }

// Resolve implements vm.Driver.
func (d *Driver) Resolve(ctx context.Context, ref string) (string, error) {
	return "", errors.ErrUnsupported
}

// Observe implements vm.Driver.
func (d *Driver) Observe(ctx context.Context, instance string) (vm.State, error) {
	return vm.State{}, errors.ErrUnsupported
}

// Apply implements vm.Driver.
func (d *Driver) Apply(ctx context.Context, instance string, c vm.Change) error {
	return errors.ErrUnsupported
}

// Close implements vm.Driver.
func (d *Driver) Close(ctx context.Context) error { return nil }
