// Package simulator is a vSphere for machines that have none: govmomi's simulator, in process,
// spoken to over its own SOAP endpoint by the same driver that speaks to a real one.
//
// Where govmomi's is more lenient than vCenter, and our driver must not find out in production, this
// one is not: a stale changeVersion is ConcurrentAccess, deleting an absent key adds none, keys
// ignore case, guestinfo keys that change while a VM runs do not outlive its power-off, sizes are
// limited, and reverting to a snapshot brings keys back. It serves only what our driver and govc
// need, holds 10,000 VMs, and can be told to be slow and to fail. docs/simulator.md has it all.
//
// app and tests import it.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// The account that may log in.
const (
	Username = "user"
	Password = "pass"
)

// maxRequest bounds what a client can send at once.
const maxRequest = 16 << 20

// Options of a simulator.
type Options struct {
	// Listen is host:port, best on loopback: the account is no secret. Port 0 picks a free one.
	Listen string
	// VMs is how many there are at the start, named vm1, vm2 and so on.
	VMs int
	// Volatile is what becomes of guestinfo keys that changed while a VM ran when it is switched off.
	Volatile Volatile
	// Logger hears what govmomi's simulator has to say, at debug level. Nil: nobody does.
	Logger *slog.Logger
}

// Simulator is one that runs. The VMs it holds last as long as it does, but their names and
// instance UUIDs are those of the next one too. Its methods may be called concurrently.
type Simulator struct {
	url      url.URL
	model    *simulator.Model
	site     site
	volatile Volatile
	limits   struct{ tasks int }

	requests atomic.Int64   // being answered
	running  sync.WaitGroup // tasks of ours
	version  atomic.Int64   // the last changeVersion
	tasks    tasks
	watchers *watchers
	index    *index
	pages    sync.Map // of page, by token
	every    *machine // has the faults of all VMs
	closed   chan struct{}
	close    sync.Once

	mu         sync.Mutex
	server     *http.Server   // nil while it is interrupted
	made       map[string]int // VMs made of each name
	machines   map[types.ManagedObjectReference]*machine
	calls      map[string]int
	callFaults map[string][]callFault
	slow       Latency
}

// building is held while an inventory is built: govmomi does it on a session that all models share.
var building sync.Mutex

// Start builds the inventory and serves it until Close. ctx is only for the start.
func Start(ctx context.Context, o Options) (*Simulator, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("vSphere simulator: %w", err)
	}
	quiet(o.Logger)
	s := &Simulator{
		url:        url.URL{Scheme: "http", Host: listener.Addr().String(), Path: vim25.Path},
		volatile:   o.Volatile,
		watchers:   newWatchers(),
		index:      newIndex(),
		every:      new(machine),
		closed:     make(chan struct{}),
		made:       make(map[string]int),
		machines:   make(map[types.ManagedObjectReference]*machine),
		calls:      make(map[string]int),
		callFaults: make(map[string][]callFault),
	}
	s.limits.tasks = tasksKept
	if err := s.build(ctx, o.VMs); err != nil {
		listener.Close()
		s.remove()
		return nil, fmt.Errorf("vSphere simulator: %w", err)
	}
	s.register()
	s.serve(listener)
	return s, nil
}

// quiet sends what govmomi's simulator prints with the standard logger, such as each object that
// somebody asked for in vain, to where it does not disturb. It has no logger of its own to set.
func quiet(logger *slog.Logger) {
	var w io.Writer = io.Discard
	if logger != nil {
		w = slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer()
	}
	log.SetFlags(0)
	log.SetOutput(w)
}

// register makes govmomi's service ours.
func (s *Simulator) register() {
	service := s.model.Service
	service.Listen = &url.URL{Scheme: s.url.Scheme, Host: s.url.Host, Path: s.url.Path, User: url.UserPassword(Username, Password)}
	service.RegisterSDK(s.model.Map())
	s.model.Map().SessionManager().ServiceHostName = s.url.Host
	s.model.Map().Handler = s.intercept
}

// serve answers SOAP, and nothing else: govmomi's own server shows datastores to everybody.
func (s *Simulator) serve(listener net.Listener) {
	service := s.model.Service
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+vim25.Path, func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Add(-1)
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		service.ServeSDK(w, r)
	})
	mux.HandleFunc("GET "+vim25.Path+"/vimServiceVersions.xml", service.ServiceVersions)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(log.Writer(), "", 0),
	}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // ends with Close or Interrupt
}

// URL is that of the SDK endpoint, without credentials.
func (s *Simulator) URL() *url.URL {
	u := s.url
	return &u
}

// Close stops it. Clients that wait for updates are cut off, and what they started ends before
// Close returns, unless ctx ends first.
func (s *Simulator) Close(ctx context.Context) error {
	s.close.Do(func() { close(s.closed) })
	err := s.Interrupt()
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for s.requests.Load() > 0 { // one that was not waiting yet may be by now
			s.watchers.cancel()
			<-tick.C
		}
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("vSphere simulator: %d requests still run: %w", s.requests.Load(), ctx.Err()))
	}
	s.remove()
	return err
}

// remove deletes the datastore's directory.
func (s *Simulator) remove() {
	if s.model != nil && s.model.Service != nil {
		s.model.Remove()
	}
}
