package vsphere_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vsphere"
)

// nameservers is how many the container network has: as many keys of each VM change with it.
const nameservers = 5

// server is a store with an executor for each VM, all on one container network, and what pushes them.
type server struct {
	f          *fixture
	store      *store.Store
	driver     *vsphere.Driver
	reconciler *push.Reconciler
	stop       func()

	mu     sync.Mutex
	pushed int
	wanted int
	enough chan struct{}
}

func newServer(b *testing.B, f *fixture, targets []*target) *server {
	b.Helper()
	engine, err := bolt.Open(b.TempDir())
	must(b, err)
	b.Cleanup(func() { must(b, engine.Close()) })
	st, err := store.New(engine, store.Options{})
	must(b, err)
	s := &server{f: f, store: st}
	s.network(b, 's', 255)
	each(b, targets, func(t *target) error {
		_, err := st.CreateExecutor(b.Context(), container(t.name, "front"), &store.Binding{Driver: "vsphere", Ref: t.instance})
		return err
	})
	return s
}

// container is an executor of ordinary size, which encodes to some forty keys and five for the network.
func container(id, network string) *executor.ExecutorConfig {
	c := &executor.ExecutorConfig{
		Common: executor.Common{ID: id, Name: "web of " + id}, Hostname: id, ImageID: "sha256:0c", RepoName: "shop/web:1.2",
		Annotations: map[string]string{"docker.label.team": "shop"},
		Sessions: map[string]*executor.SessionConfig{"main": {
			Cmd: executor.Cmd{Path: "/bin/httpd", Args: []string{"httpd", "-f"}, Env: []string{"PORT=80", "LANG=C.UTF-8"}, Dir: "/srv"},
		}},
	}
	if network != "" {
		c.Networks = map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: network}}
	}
	return c
}

// network changes the container network that the executors are on.
func (s *server) network(b *testing.B, loop byte, round int) {
	b.Helper()
	n := &executor.ContainerNetwork{Common: executor.Common{Name: "front"}, Gateway: netip.MustParsePrefix("172.16.0.1/16")}
	for i := range nameservers {
		n.Nameservers = append(n.Nameservers, netip.AddrFrom16([16]byte{15: byte(i), 14: byte(round), 13: loop, 0: 0xfd}))
	}
	_, _, err := s.store.PutNetwork(b.Context(), store.Network{Config: n})
	must(b, err)
}

// start starts the reconciler, with the driver that there is.
func (s *server) start() {
	s.reconciler = push.New(push.Options{
		Store: s.store, Drivers: map[string]vm.Driver{"vsphere": s.driver}, InFlight: inFlight, Observer: s, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.reconciler.Run(ctx) }()
	s.stop = func() {
		cancel()
		must(s.f.tb, <-ended)
	}
}

// await gives a channel that is closed when so many more pushes have ended well.
func (s *server) await(pushes int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enough, s.pushed, s.wanted = make(chan struct{}), 0, pushes
	return s.enough
}

// Pushed implements push.Observer.
func (s *server) Pushed(result push.Result, _ time.Duration, _, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if result == push.ResultFailed {
		return
	}
	if s.pushed++; s.pushed == s.wanted {
		close(s.enough)
	}
}

// Drifted, Reported and Retrying are of no interest.
func (s *server) Drifted(int)  {}
func (s *server) Reported(int) {}
func (s *server) Retrying()    {}

var _ push.Observer = (*server)(nil)

func (s *server) open(_ *testing.B, targets []*target) {
	s.driver = s.f.newDriver()
	looked := s.await(len(targets))
	s.start()
	<-looked
}

func (s *server) run(b *testing.B, targets []*target, round int) {
	pushed := s.await(len(targets))
	s.network(b, 's', round)
	<-pushed
}

func (s *server) close(b *testing.B) {
	s.stop()
	must(b, s.driver.Close(context.Background()))
}
