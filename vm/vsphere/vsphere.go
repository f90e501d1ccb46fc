// Package vsphere is the vm.Driver for vSphere: a VM's pairs are its extraConfig, a VM's identity
// is its instance UUID.
//
// It makes as few calls as it can. A VM that a caller observed or changed is followed from then
// on: one property collector for all of them (feed) fills a mirror in memory (entry, image), from
// which Observe answers, and in which Apply sees that its one call, ReconfigVM_Task, was carried
// out. A task itself is only looked at when its VM does not show the change soon.
//
// Only app and tests import it, and it alone (with the packages below it) imports govmomi.
package vsphere

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

// Options says which vSphere to speak to, and as whom.
type Options struct {
	// URL of the SDK endpoint, such as https://vcenter.example.com/sdk; without a path, /sdk is
	// meant. User information in it is not used.
	URL *url.URL
	// Username and Password are the account that the driver logs in with.
	Username, Password string
	// Insecure accepts any certificate.
	Insecure bool
	// Logger hears of log-ins and outages, once each. Nil: nobody does.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.URL == nil || o.URL.Host == "":
		return errors.New("vSphere: the URL names no host")
	case o.URL.Scheme != "https" && o.URL.Scheme != "http":
		return errors.New("vSphere: the URL must begin with https:// or http://")
	case o.Username == "":
		return errors.New("vSphere: there is no user name")
	}
	return nil
}

// Driver is a vm.Driver for the VMs of one vCenter or ESX host. It logs in when a call needs it,
// and again when the session has ended, once for all calls that wait for it.
type Driver struct {
	endpoint           url.URL // without user information: it is shown in errors
	username, password string
	insecure           bool
	log                *slog.Logger
	now                func() time.Time

	calls    calls
	follower *follower

	mu      sync.Mutex
	session *session // the one that calls use; nil until somebody has logged in
	login   *login   // the one under way, or nil
	refused *refusal // what vSphere said to the last log-in, while it is too early for another
	away    bool     // the last call did not get through
	closed  bool
}

var _ vm.Driver = (*Driver)(nil)

// New makes a driver. It does not connect, so that a server can start while its vCenter is down.
func New(o Options) (*Driver, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	endpoint := *o.URL
	endpoint.User = nil
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/sdk"
	}
	return &Driver{
		endpoint: endpoint,
		username: o.Username,
		password: o.Password,
		insecure: o.Insecure,
		log:      o.Logger.With("vsphere", endpoint.String()),
		now:      time.Now,
		follower: newFollower(),
	}, nil
}

// Close logs out. That there is nothing to log out from, or that vSphere is away, is no error.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	login := d.login
	d.mu.Unlock()
	if login != nil {
		login.cancel()
		<-login.done
	}
	d.follower.shut()
	d.mu.Lock()
	s := d.session
	d.session = nil
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	err := s.logout(ctx)
	if err := d.explain(ctx, err); err != nil && !errors.Is(err, vm.ErrUnavailable) {
		return err
	}
	return nil
}
