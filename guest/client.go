package guest

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"

	"github.com/vmexecutor/config-server/executor"
)

// Opener opens the stream to the server anew. A Client calls it after each loss.
type Opener func(ctx context.Context) (io.ReadWriteCloser, error)

// Address gives the Opener of an address: unix:/path, virtio:NAME (a virtio-serial port), vsock:CID:PORT,
// or the path of a device. What it names need not be there yet.
func Address(address string) (Opener, error) {
	return nil, errors.New("not built yet")
}

// ClientOptions are a Client's. The zero value is good.
type ClientOptions struct {
	// Agent names the guest's software; "guest" when empty.
	Agent string
	// Boot is the boot id; that of the running kernel when empty.
	Boot string
	// Log gets losses of the connection; nothing when nil.
	Log *slog.Logger
}

// Client is the guest's end. It holds the connection by itself: after a loss it opens the stream again, says
// hello, and repeats what was not answered. It is safe for concurrent use.
type Client struct{}

// Open connects and returns once the server has welcomed the guest. It tries until ctx ends, and then says why it did not succeed.
// ctx is that of Open alone; the client lives until Close.
func Open(ctx context.Context, open Opener, o ClientOptions) (*Client, error) {
	return nil, errors.New("not built yet")
}

// Welcome is what the server said last.
func (c *Client) Welcome() Welcome { return Welcome{} }

// Snapshot takes a snapshot of all keys.
func (c *Client) Snapshot(ctx context.Context) (View, error) { return View{}, errors.New("not built yet") }

// Get takes a snapshot of some keys. Those that are not there are in Missing. ASCII case does not count.
func (c *Client) Get(ctx context.Context, keys ...string) (View, error) {
	return View{}, errors.New("not built yet")
}

// Set sets keys, all of them or none, and returns the revision once the server has stored it durably. Values are plain text:
// they are escaped here. It repeats what was not answered until ctx ends. *Refusal.
func (c *Client) Set(ctx context.Context, keys ...Pair) (revision uint64, err error) {
	return 0, errors.New("not built yet")
}

// Watch gives the changes of keys until ctx ends or the client is closed, which is its last error. The first
// one says All, as does one after each loss of the connection: what happened meanwhile is not known.
func (c *Client) Watch(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) { yield(Change{}, errors.New("not built yet")) }
}

// Close ends the connection and all calls under way.
func (c *Client) Close() error { return nil }

// View is a Snapshot with what it takes to read it.
type View struct {
	Snapshot
	key SecretKey
}

// Values are the values by key as plain text: empty ones empty, secrets opened. Secrets that do not open are left out and named in the error.
func (v View) Values() (map[string]string, error) { return nil, errors.New("not built yet") }

// Config is the executor that the keys mean. The error is extraconfig.Errors and names what did not parse; all else is there.
func (v View) Config() (*executor.ExecutorConfig, error) { return nil, errors.New("not built yet") }
