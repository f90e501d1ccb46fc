// Package app puts the server together: it is the one place that knows which store engine,
// which drivers and which listeners there are. cmd/config-server runs it, and so do the tests
// and the demo, in process or as the real binary.
package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/handlers"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vsphere"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// stopLimit is how long a stop waits for requests that are under way: longer than a push takes whose outcome vSphere did not tell at once, and
// which is seen when the driver asks again.
const stopLimit = 20 * time.Second

// Run serves until ctx ends, then stops in order: streams end, requests finish, pushes stop at a safe point,
// the store closes. An error says what kept the server from starting, or broke it; a *UsageError, that the options cannot be.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.validate(); err != nil {
		return &UsageError{err}
	}
	log, err := o.logger()
	if err != nil {
		return err
	}
	var closers closers
	defer func() { err = errors.Join(err, closers.close(log)) }()

	figures := metrics.New(log)
	trail, err := o.Audit.open(log, figures, &closers)
	if err != nil {
		return err
	}
	engine, err := o.openStore(log)
	if err != nil {
		return err
	}
	closers.add("store", engine.Close)
	keys, err := o.openKeys(ctx, engine, log, trail)
	if err != nil {
		return err
	}
	st, err := store.New(engine, store.Options{Logger: log, Keys: keys.keys, Committed: trail.Committed})
	if err != nil {
		return err
	}
	closers.run(ctx, "secret keys", func(ctx context.Context) { keys.run(ctx, st) })

	callers, err := auth.Open(auth.Options{TokenFile: o.TokenFile, CAFile: o.TLSCA, Certificate: o.TLSCertificate, Key: o.TLSKey, Logger: log})
	if err != nil {
		return err
	}
	crowd := newCrowd(o.Bounds)
	listeners, addresses, err := o.listen(ctx, callers, crowd)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		closers.add("listener", func() error { return ignoreClosed(l.Close()) })
	}
	driver, err := o.startVSphere(ctx, log, &closers, &addresses)
	if err != nil {
		return err
	}

	guests, err := o.startGuests(ctx, log, figures, trail, &closers)
	if err != nil {
		return err
	}

	drivers := map[string]vm.Driver{"vsphere": driver, "qemu": guests}
	reconciler := push.New(push.Options{
		Store: st, Drivers: drivers, Observer: observer{figures}, Logger: log, Rate: o.PushRate, Resync: o.Resync,
	})
	figures.Watch(sources(ctx, st, engine, reconciler, drivers, guests))
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	handler, err := handlers.New(handlers.Options{
		Store: st, Push: reconciler, Callers: callers, Bounds: o.Bounds.ofRequests(), Metrics: figures, Audit: trail, Version: version(), Logger: log, Streams: streams,
	})
	if err != nil {
		return err
	}

	log.Info("listening", "what", "api", "url", addresses.API)
	if addresses.Socket != "" {
		log.Info("listening", "what", "api", "socket", addresses.Socket)
	}
	if addresses.Simulator != "" {
		log.Info("listening", "what", "vsphere simulator", "url", addresses.Simulator)
	}
	if o.SecretKeyFile == "" && keys.path != "" {
		log.Info("the key of the secrets lies in the data directory: who gets both can read them; --secret-key-file puts it elsewhere", "file", keys.path)
	}
	server := o.Bounds.server(handler, crowd)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	server.RegisterOnShutdown(endStreams)
	return o.serve(ctx, log, reconciler, server, listeners, addresses)
}

// serve runs the reconciler and the HTTP server until ctx ends or one of them fails.
func (o *Options) serve(ctx context.Context, log *slog.Logger, reconciler *push.Reconciler, server *http.Server, listeners []net.Listener, addresses Addresses) error {
	failed := make(chan error, len(listeners)+1)
	pushCtx, stopPush := context.WithCancel(context.WithoutCancel(ctx))
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		if err := reconciler.Run(pushCtx); err != nil {
			failed <- fmt.Errorf("push: %w", err)
		}
	}()
	for _, l := range listeners {
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		}()
	}
	log.Info("serving")
	if o.Ready != nil {
		o.Ready(addresses)
	}

	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-failed:
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if stopErr := server.Shutdown(stopCtx); stopErr != nil {
		log.Warn("requests were cut off", "error", stopErr)
		server.Close()
	}
	stopPush()
	<-pushed
	return err
}

// listen opens the API's listeners, with TLS over TCP where there is a certificate.
func (o *Options) listen(ctx context.Context, callers *auth.Callers, crowd *crowd) ([]net.Listener, Addresses, error) {
	var a Addresses
	tcp, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port))))
	if err != nil {
		return nil, a, fmt.Errorf("--host, --port: %w", err)
	}
	var served net.Listener = &listener{tcp, crowd}
	a.API = "http://" + tcp.Addr().String()
	if config := callers.TLS(); config != nil {
		served = tls.NewListener(served, config)
		a.API = "https://" + tcp.Addr().String()
	}
	listeners := []net.Listener{served}
	if o.SocketPath != "" {
		socket, err := listenSocket(ctx, o.SocketPath, fs.FileMode(cmp.Or(o.SocketMode, 0o600)))
		if err != nil {
			tcp.Close()
			return nil, a, err
		}
		listeners, a.Socket = append(listeners, &listener{socket, crowd}), o.SocketPath
	}
	return listeners, a, nil
}

// startVSphere makes the driver for the vCenter that the options name, or for a simulator of our own.
func (o *Options) startVSphere(ctx context.Context, log *slog.Logger, closers *closers, addresses *Addresses) (vm.Driver, error) {
	options := vsphere.Options{Insecure: o.VSphereInsecure, Logger: log}
	if o.VSphereURL != "" {
		v, err := o.vSphere(os.Getenv)
		if err != nil {
			return nil, err
		}
		options.URL, options.Username, options.Password = v.url, v.username, v.password
	} else {
		sim, err := simulator.Start(ctx, simulator.Options{Listen: o.SimulatorListen, VMs: o.SimulatorVMs, Logger: log})
		if err != nil {
			return nil, fmt.Errorf("--simulator-listen: %w", err)
		}
		closers.add("simulator", func() error { return withLimit(ctx, sim.Close) })
		options.URL, options.Username, options.Password = sim.URL(), simulator.Username, simulator.Password
		addresses.Simulator = sim.URL().String()
	}
	driver, err := vsphere.New(options)
	if err != nil {
		return nil, fmt.Errorf("--vsphere-url: %w", err)
	}
	closers.add("vsphere", func() error { return withLimit(ctx, driver.Close) })
	return driver, nil
}

// closers are closed in reverse, each whatever the others say.
type closers []closer

type closer struct {
	name  string
	close func() error
}

// run has something go on in the background until it is closed.
func (c *closers) run(ctx context.Context, name string, fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fn(ctx)
	}()
	c.add(name, func() error {
		cancel()
		<-ended
		return nil
	})
}

func (c *closers) add(name string, f func() error) { *c = append(*c, closer{name, f}) }

func (c *closers) close(log *slog.Logger) error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		x := (*c)[i]
		if err := x.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", x.name, err))
		}
	}
	log.Info("stopped")
	return errors.Join(errs...)
}

// withLimit closes what takes its time, after ctx has ended.
func withLimit(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return f(ctx)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
