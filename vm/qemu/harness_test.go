package qemu_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm/qemu"
)

// fixture is a driver with a directory of its own.
type fixture struct {
	*testing.T
	*qemu.Driver
	dir     string
	log     *logged
	counted *counted
	vms     int // handed out
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	// Not t.TempDir: the name of the test is in that, and a socket's path has an end.
	dir, err := os.MkdirTemp("", "guests")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	f := &fixture{T: t, dir: dir, log: &logged{}, counted: &counted{n: map[string]int{}}}
	f.Driver = f.open()
	t.Cleanup(func() { must(t, f.Close(context.Background())) })
	return f
}

func (f *fixture) open() *qemu.Driver {
	f.Helper()
	d, err := qemu.New(qemu.Options{
		Dir: f.dir, Software: "config-server/test", Observer: f.counted,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(f, err)
	return d
}

// name gives a VM that no other test has.
func (f *fixture) name() string {
	f.vms++
	return fmt.Sprintf("vm%d", f.vms)
}

// logged is a log to look at.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// counted is an Observer that counts.
type counted struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counted) GuestSet(result string) { c.add("set " + result) }

func (c *counted) GuestRefused(r qemu.Refusal) {
	c.add("refused " + r.Reason)
	if r.Key != "" {
		c.add("refused " + r.Executor + " " + r.Key)
	}
}

func (c *counted) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what]++
}

func (c *counted) get(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// inside is a guest, played by the client over the real socket.
type inside struct {
	path   string
	boots  int
	client *guest.Client
}

// boot starts a guest on the socket of an executor.
func boot(t *testing.T, d *qemu.Driver, executor string) *inside {
	t.Helper()
	path, err := d.Socket(executor)
	must(t, err)
	g := &inside{path: path}
	g.Reboot(t)
	t.Cleanup(func() { _ = g.client.Close() })
	return g
}

func (g *inside) Reboot(t *testing.T) {
	t.Helper()
	if g.client != nil {
		must(t, g.client.Close())
	}
	g.boots++
	open, err := guest.Address("unix:" + g.path)
	must(t, err)
	g.client, err = guest.Open(t.Context(), open, guest.ClientOptions{Boot: fmt.Sprintf("boot-%d", g.boots)})
	must(t, err)
}

// Read gives nothing when the server does not serve the guest any more: the client would wait until it does.
func (g *inside) Read(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var view guest.View
	read := make(chan error, 1)
	go func() {
		var err error
		view, err = g.client.Snapshot(ctx)
		read <- err
	}()
	for look := time.Tick(10 * time.Millisecond); ; {
		select {
		case err := <-read:
			must(t, err)
			return g.plain(view)
		case <-look:
			if _, err := os.Stat(g.path); err != nil {
				cancel()
				if err := <-read; err == nil {
					return g.plain(view)
				}
				return seen
			}
		}
	}
}

func (g *inside) Config(t *testing.T) *executor.ExecutorConfig {
	t.Helper()
	view, err := g.client.Snapshot(t.Context())
	must(t, err)
	config, err := view.Config()
	must(t, err)
	return config
}

// plain gives the values of a view; secrets stay sealed.
func (g *inside) plain(view guest.View) map[string]string {
	seen := map[string]string{}
	for _, p := range view.Keys {
		seen[p.Key] = p.Value
		if p.Value == "<nil>" {
			seen[p.Key] = ""
		}
	}
	return seen
}

func (g *inside) Write(t *testing.T, keys map[string]string) error {
	var pairs []guest.Pair
	for key, value := range keys {
		pairs = append(pairs, guest.Pair{Key: key, Value: value})
	}
	_, err := g.client.Set(t.Context(), pairs...)
	return err
}

// Delete writes what means a deletion where a channel has one. The client would send an empty value as <nil>.
func (g *inside) Delete(t *testing.T, key string) error {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", g.path)
	must(t, err)
	defer conn.Close()
	return raw(t, conn, fmt.Sprintf("boot-%d", g.boots), fmt.Sprintf(`{"keys": [{"key": %q, "value": ""}]}`, key))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
