//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vmexecutor/config-server/cmd/tether/internal/mounts"
	"github.com/vmexecutor/config-server/cmd/tether/internal/network"
	"github.com/vmexecutor/config-server/executor"
)

// What sessions are kept waiting for at most. It goes on behind them.
const (
	mountLimit = 30 * time.Second
	leaseLimit = 15 * time.Second
	linkLimit  = 10 * time.Second // a card may still be about to be found
	lookAgain  = 100 * time.Millisecond
)

const resolvConf = "/etc/resolv.conf"

// reporter changes a part of the configuration that the guest owns.
type reporter func(path []string, change func(*executor.ExecutorConfig))

// setup makes the system what the configuration says. All it has is of the goroutine that run is called on.
type setup struct {
	log       *slog.Logger
	report    reporter
	box       *mailbox
	ctx       context.Context // the end of all that it does
	config    *executor.ExecutorConfig
	endpoints map[string]*endpoint
	mounted   map[string]string // paths by the names of their mounts
	resolver  string            // what was written to resolvConf
}

// endpoint is one that was joined.
type endpoint struct {
	link        string
	settings    network.Settings
	nameservers []netip.Addr // those of a lease
	end         context.CancelFunc
	ended       chan struct{} // closed when no lease is kept any more
}

func newSetup(ctx context.Context, log *slog.Logger, report reporter) *setup {
	return &setup{
		ctx: ctx, log: log, report: report, box: newMailbox(), config: new(executor.ExecutorConfig),
		endpoints: map[string]*endpoint{}, mounted: map[string]string{},
	}
}

func (s *setup) run() {
	s.box.run(s.ctx)
	for _, e := range s.endpoints {
		e.close()
	}
}

// do takes actions towards a configuration, and calls done after them, whatever came of them.
func (s *setup) do(config *executor.ExecutorConfig, actions []action, done func()) {
	s.box.put(func() {
		s.config = config
		for _, a := range actions {
			if err := s.act(a); err != nil {
				s.failed(a, err)
			}
		}
		done()
	})
}

func (s *setup) failed(a action, err error) {
	of := string(a.kind)
	if a.name != "" {
		of += " (" + a.name + ")"
	}
	s.log.Error("a part of the configuration could not be set up", "what", of, "err", err)
	s.report([]string{"diagnostics"}, failure(of, err))
}

func (s *setup) act(a action) error {
	switch a.kind {
	case setHostname:
		return errors.Join(unix.Sethostname([]byte(s.config.Hostname)), unix.Setdomainname([]byte(s.config.Domainname)))
	case setRouting:
		return network.AllowAsymmetricRoutes(s.config.AsymmetricRouting)
	case setResolver:
		return s.resolve()
	case leave:
		return s.leave(a.name)
	case join:
		return s.join(a)
	case detach:
		return s.detach(a.name)
	case attach:
		return s.attach(a)
	default:
		return fmt.Errorf("%s is not for the system", a.kind)
	}
}

// within waits for work that cannot be ended, and goes on without it after a while. How it ends is told either way, and
// done is called when it succeeds.
func (s *setup) within(limit time.Duration, a action, work func() error, done func()) error {
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err == nil {
			done()
		}
		return err
	case <-timer.C:
	case <-s.ctx.Done():
		return nil
	}
	go func() {
		err := <-ended
		s.box.put(func() {
			if err != nil {
				s.failed(a, err)
				return
			}
			s.log.Info("it came to an end after all", "what", string(a.kind), "name", a.name)
			done()
		})
	}()
	return fmt.Errorf("it takes longer than %s, and is not waited for any more", limit)
}

func (s *setup) attach(a action) error {
	m := s.config.Mounts[a.name]
	if at, still := s.mounted[a.name]; still {
		return fmt.Errorf("%s could not be detached: the change waits for the next boot", at)
	}
	ctx := s.ctx
	err := s.within(mountLimit, a, func() error { return mounts.Attach(ctx, m) }, func() { s.mounted[a.name] = m.Path })
	if err != nil {
		return fmt.Errorf("%s at %s: %w", m.Source, m.Path, err)
	}
	return nil
}

func (s *setup) detach(name string) error {
	at, ok := s.mounted[name]
	if !ok {
		return nil
	}
	if err := mounts.Detach(at); err != nil {
		return err
	}
	delete(s.mounted, name)
	return nil
}

// join brings an endpoint's card up, with its address or that of a lease. What the card had for the endpoint before is replaced.
func (s *setup) join(a action) error {
	config := s.config.Networks[a.name]
	link, err := s.find(config.ID, a.name)
	if err != nil {
		return err
	}
	had := s.endpoints[a.name]
	if had != nil && had.link != link {
		if err := s.leave(a.name); err != nil {
			return err
		}
		had = nil
	}
	e := &endpoint{link: link}
	if had != nil {
		had.close()
		e.settings = had.settings
	}
	s.endpoints[a.name] = e
	if config.IP == nil {
		return s.lease(a.name, e)
	}
	if err := e.apply(network.ForEndpoint(config, *config.IP, config.Network.Gateway.Addr())); err != nil {
		return err
	}
	s.assigned(a.name, *config.IP, executor.AssignedNetwork{})
	if had != nil && len(had.nameservers) > 0 { // of a lease that it has no more
		return s.resolve()
	}
	return nil
}

func (e *endpoint) apply(settings network.Settings) error {
	err := network.Apply(e.link, e.settings, settings)
	e.settings = settings
	return err
}

// close ends the keeping of a lease.
func (e *endpoint) close() {
	if e.end != nil {
		e.end()
		<-e.ended
	}
}

func (s *setup) find(id, name string) (string, error) {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for limit := time.After(linkLimit); ; {
		link, err := network.Find(id, name)
		if err == nil || !errors.Is(err, network.ErrNoLink) {
			return link, err
		}
		select {
		case <-look.C:
		case <-limit:
			return "", err
		case <-s.ctx.Done():
			return "", err
		}
	}
}

// lease begins to ask for an address, and waits a while for the first answer.
func (s *setup) lease(name string, e *endpoint) error {
	if s.config.Networks[name].Static {
		return errors.New("it is static, and has no ip")
	}
	if err := e.apply(network.Settings{}); err != nil {
		return err
	}
	ctx, end := context.WithCancel(s.ctx)
	e.end, e.ended = end, make(chan struct{})
	first, later := make(chan answer, 1), false
	hostname := s.config.Hostname
	go func() {
		defer close(e.ended)
		network.Keep(ctx, e.link, hostname, func(l *network.Lease, err error) {
			if !later {
				later = true
				first <- answer{l, err}
				return
			}
			s.box.put(func() { s.leased(name, e, answer{l, err}) })
		})
	}()
	select {
	case had := <-first: // before the mounts that come after
		s.leased(name, e, had)
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(leaseLimit):
	}
	go func() {
		select {
		case had := <-first:
			s.box.put(func() { s.leased(name, e, had) })
		case <-ctx.Done():
		}
	}()
	return fmt.Errorf("no address was had after %s: it is still asked for", leaseLimit)
}

// answer is what a DHCP server said, or why there is nothing.
type answer struct {
	lease *network.Lease
	err   error
}

// leased takes over what a DHCP server said.
func (s *setup) leased(name string, e *endpoint, had answer) {
	l, err := had.lease, had.err
	config := s.config.Networks[name]
	if s.endpoints[name] != e || config == nil {
		return // it was left meanwhile
	}
	var settings network.Settings
	if err == nil {
		settings = network.ForEndpoint(config, l.Address, l.Gateway)
		e.nameservers = l.Nameservers
	} else {
		e.nameservers = nil
	}
	if err = errors.Join(err, e.apply(settings), s.resolve()); err != nil {
		s.failed(action{kind: join, name: name}, err)
		return
	}
	learned := executor.AssignedNetwork{Nameservers: l.Nameservers}
	if l.Gateway.IsValid() {
		learned.Gateway = netip.PrefixFrom(l.Gateway, l.Address.Bits())
	}
	s.assigned(name, l.Address, learned)
}

func (s *setup) assigned(name string, address netip.Prefix, learned executor.AssignedNetwork) {
	s.log.Info("an endpoint has its address", "endpoint", name, "address", address.String())
	s.report([]string{"networks", name}, func(c *executor.ExecutorConfig) {
		if e := c.Networks[name]; e != nil {
			e.Assigned, e.Network.Assigned = address, learned
		}
	})
}

func (s *setup) leave(name string) error {
	e := s.endpoints[name]
	if e == nil {
		return nil
	}
	delete(s.endpoints, name)
	e.close()
	return e.apply(network.Settings{})
}

// resolve writes the nameservers of all endpoints, those of the default ones first. It leaves a file alone as long as there is
// nothing to say.
func (s *setup) resolve() error {
	var first, then []netip.Addr
	for _, name := range slices.Sorted(maps.Keys(s.config.Networks)) {
		config := s.config.Networks[name]
		servers := slices.Clone(config.Network.Nameservers)
		if e := s.endpoints[name]; e != nil {
			servers = append(servers, e.nameservers...)
		}
		if config.Network.Default {
			first = append(first, servers...)
		} else {
			then = append(then, servers...)
		}
	}
	text := network.Resolver(s.config.Domainname, append(first, then...))
	if text == s.resolver {
		return nil
	}
	if err := replace(resolvConf, text); err != nil {
		return err
	}
	s.resolver = text
	return nil
}

// replace writes a file whole, so that nobody reads half of it.
func replace(name, text string) error {
	next := filepath.Join(filepath.Dir(name), ".tether-"+filepath.Base(name))
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil { //nolint:gosec // everybody reads it
		return err
	}
	return os.Rename(next, name)
}
