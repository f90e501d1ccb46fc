package vsphere

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/vmware/govmomi/fault"
	govmomi "github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// loginLimit is how long a log-in may take: it does not end with the call that began it, as
	// others wait for it too.
	loginLimit = 30 * time.Second
	// refusalHold is how long a refused log-in is not tried again: vCenter locks an account
	// after five of them in three minutes.
	refusalHold = time.Minute
	// connections are kept open: more than there are calls in flight, waiting ones among them, or
	// each would dial anew.
	connections = 128
)

// session is one log-in, and what is known as long as it lasts. References to managed objects
// are among that: a vCenter that was restored or replaced gives them to other objects.
type session struct {
	*vim25.Client
	manager *govmomi.Manager

	mu  sync.Mutex
	vms map[string]types.ManagedObjectReference // by instance UUID

	scanned time.Time // when the feed last read all instance UUIDs; the feed's own
}

// login is an attempt to log in, for all who wait for it.
type login struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed when session or err is set
	session *session
	err     error
}

// refusal is an answer that asking again would not change.
type refusal struct {
	err   error
	until time.Time
}

// do makes a call, logged in.
func (d *Driver) do(ctx context.Context, call func(s *session) error) error {
	return d.retry(ctx, func() (*session, error) {
		s, err := d.connected(ctx)
		if err == nil {
			err = call(s)
		}
		return s, err
	})
}

// retry makes a call, which says what session it used. When that turns out to have ended, it makes
// the call once more, in another: a call without a session was not carried out.
func (d *Driver) retry(ctx context.Context, call func() (*session, error)) error {
	for first := true; ; first = false {
		s, err := call()
		if first && ctx.Err() == nil && fault.Is(err, &types.NotAuthenticated{}) {
			if s != nil {
				d.drop(s)
			}
			continue
		}
		err = d.explain(ctx, err)
		d.note(ctx, err)
		return err
	}
}

// connected gives the session, after logging in where there is none.
func (d *Driver) connected(ctx context.Context) (*session, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, unavailable("the vSphere driver is closed")
	}
	if d.session != nil {
		defer d.mu.Unlock()
		return d.session, nil
	}
	if d.refused != nil && d.now().Before(d.refused.until) {
		defer d.mu.Unlock()
		return nil, d.refused.err
	}
	l := d.login
	if l == nil {
		loginCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginLimit)
		l = &login{cancel: cancel, done: make(chan struct{})}
		d.login = l
		go d.logIn(loginCtx, l)
	}
	d.mu.Unlock()

	select {
	case <-l.done:
		return l.session, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// logIn carries out l.
func (d *Driver) logIn(ctx context.Context, l *login) {
	defer l.cancel()
	s, err := d.newSession(ctx)
	err = d.explainLogin(err)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.login, d.refused = nil, nil
	if err != nil {
		l.err = err
		if isRefusal(err) {
			d.refused = &refusal{err: err, until: d.now().Add(refusalHold)}
		}
	} else {
		d.session, l.session = s, s
		d.log.Debug("logged in to vSphere", "version", s.ServiceContent.About.ApiVersion)
	}
	close(l.done)
}

// newSession connects with a client of its own: a second log-in on the cookies of the first is refused.
func (d *Driver) newSession(ctx context.Context) (*session, error) {
	transport := soap.NewClient(&d.endpoint, d.insecure)
	transport.UserAgent = "config-server"
	transport.DefaultTransport().MaxIdleConns = connections
	transport.DefaultTransport().MaxIdleConnsPerHost = connections
	d.calls.add("RetrieveServiceContent")
	client, err := vim25.NewClient(ctx, transport)
	if err != nil {
		return nil, err
	}
	client.RoundTripper = counted{client.RoundTripper, &d.calls}
	manager := govmomi.NewManager(client)
	if err := manager.Login(ctx, url.UserPassword(d.username, d.password)); err != nil {
		client.CloseIdleConnections()
		return nil, err
	}
	return &session{Client: client, manager: manager, vms: make(map[string]types.ManagedObjectReference)}, nil
}

func (s *session) logout(ctx context.Context) error {
	defer s.CloseIdleConnections()
	err := s.manager.Logout(ctx)
	if fault.Is(err, &types.NotAuthenticated{}) {
		return nil // it had ended already
	}
	return err
}

// drop forgets a session that has ended, and ends the feed that relies on it, unless somebody has
// already done so.
func (d *Driver) drop(s *session) {
	d.mu.Lock()
	if d.session == s {
		d.session = nil
		s.CloseIdleConnections()
		d.log.Info("the vSphere session has ended, logging in again")
	}
	d.mu.Unlock()
	d.follower.mu.Lock()
	f := d.follower.feed
	d.follower.mu.Unlock()
	if f != nil && f.s == s {
		f.end(soap.WrapVimFault(&types.NotAuthenticated{}))
	}
}

// note logs the beginning and the end of an outage, not each call that suffers from it.
func (d *Driver) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // says nothing about vSphere
	}
	away := isUnavailable(err)
	d.mu.Lock()
	changed := away != d.away && !d.closed
	d.away = away
	d.mu.Unlock()
	switch {
	case changed && away:
		d.log.Warn("vSphere is not available", "error", err)
	case changed:
		d.log.Info("vSphere is available again")
	}
}

// cached gives the reference that an instance UUID had earlier in this session.
func (s *session) cached(instance string) (types.ManagedObjectReference, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref, ok := s.vms[instance]
	return ref, ok
}

func (s *session) remember(instance string, ref types.ManagedObjectReference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vms[instance] = ref
}

func (s *session) forget(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.vms, instance)
}
