package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Opener opens the stream to the server anew. A Client calls it after each loss. Closing a stream must end reads and
// writes that are under way.
type Opener func(ctx context.Context) (io.ReadWriteCloser, error)

// ErrClosed is the error of a Client that was closed.
var ErrClosed = errors.New("the client is closed")

// ClientOptions are a Client's. The zero value is good.
type ClientOptions struct {
	// Agent names the guest's software; "guest" when empty.
	Agent string
	// Boot is the boot id; that of the running kernel when empty.
	Boot string
	// Log gets losses of the connection; nothing when nil.
	Log *slog.Logger
	// Once makes Open try once only.
	Once bool
}

// Client is the guest's end. It holds the connection by itself: after a loss it opens the stream again, says
// hello, and repeats what was not answered. It is safe for concurrent use.
type Client struct {
	open  Opener
	hello Hello
	log   *slog.Logger
	stop  context.CancelCauseFunc
	ended chan struct{}

	mu       sync.Mutex    // of what follows
	link     *link         // nil while there is none
	moved    chan struct{} // closed when link or err changes
	err      error         // why there is no link
	welcome  Welcome
	watchers map[*watcher]struct{}
}

// watcher is one Watch.
type watcher struct {
	changes
	wake chan struct{}
}

const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 2 * time.Second
	bootID     = "/proc/sys/kernel/random/boot_id"
)

// Open connects and returns once the server has welcomed the guest. It tries until ctx ends, and then says why it did not
// succeed. ctx is that of Open alone; the client lives until Close.
func Open(ctx context.Context, open Opener, o ClientOptions) (*Client, error) {
	if o.Boot == "" {
		id, err := os.ReadFile(bootID)
		if err != nil {
			return nil, fmt.Errorf("boot id: %w", err)
		}
		o.Boot = strings.TrimSpace(string(id))
	}
	if o.Agent == "" {
		o.Agent = "guest"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &Client{
		open: open, hello: Hello{Protocol: Protocol, Agent: o.Agent, Boot: o.Boot, Client: rand.Text()}, log: o.Log,
		stop: stop, ended: make(chan struct{}), moved: make(chan struct{}), watchers: map[*watcher]struct{}{},
	}
	go c.run(life)
	if err := c.opened(ctx, o.Once); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// opened waits for the first welcome, or, when once, for the first failure.
func (c *Client) opened(ctx context.Context, once bool) error {
	for {
		l, moved, err := c.state()
		switch {
		case l != nil:
			return nil
		case err != nil && once:
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return because(ctx, err)
		}
	}
}

// because is the end of a context, with what kept one waiting.
func because(ctx context.Context, err error) error {
	if err == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

func (c *Client) state() (*link, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link, c.moved, c.err
}

// run holds the connection until ctx ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.ended)
	retry := firstRetry
	told := ""
	for {
		welcomed, err := c.connection(ctx)
		c.move(nil, Welcome{}, err)
		if ctx.Err() != nil {
			return
		}
		if welcomed {
			retry, told = firstRetry, ""
		}
		if why := fmt.Sprint(err); why != told { // and not each time again
			told = why
			c.log.Info("no connection to the server", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry/2 + mathrand.N(retry)): //nolint:gosec // jitter
		}
		retry = min(2*retry, lastRetry)
	}
}

// connection is one connection, from its opening to its loss.
func (c *Client) connection(ctx context.Context) (welcomed bool, err error) {
	stream, err := c.open(ctx)
	if err != nil {
		return false, err
	}
	l := newLink(stream, c.changed)
	var both sync.WaitGroup
	both.Go(l.read)
	both.Go(func() { l.watch(ctx) })
	defer both.Wait()
	w, err := l.hello(ctx, c.hello)
	if err == nil && c.watched() {
		err = l.call(ctx, methodSubscribe, nil, new(revisionResult))
	}
	if err != nil {
		l.fail(err)
		return false, err
	}
	c.move(l, w, nil)
	<-l.closed
	return true, l.lost()
}

// move says that there is a link now, or none and why. Who watches does not know what happened meanwhile.
func (c *Client) move(l *link, w Welcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.err = l, err
	close(c.moved)
	c.moved = make(chan struct{})
	if l == nil {
		return
	}
	c.welcome = w
	for watcher := range c.watchers {
		watcher.any()
		watcher.signal()
	}
}

// Welcome is what the server said last.
func (c *Client) Welcome() Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Snapshot takes a snapshot of all keys.
func (c *Client) Snapshot(ctx context.Context) (View, error) {
	var s Snapshot
	key, err := c.call(ctx, methodSnapshot, nil, &s)
	return View{s, key}, err
}

// Get takes a snapshot of some keys. Those that are not there are in Missing. ASCII case does not count.
func (c *Client) Get(ctx context.Context, keys ...string) (View, error) {
	var s Snapshot
	key, err := c.call(ctx, methodGet, namesParams{keys}, &s)
	return View{s, key}, err
}

// Set sets keys, all of them or none, and returns the revision once the server has stored it durably. Values are plain
// text: they are escaped here. It repeats what was not answered until ctx ends. *Refusal, which is final; *Error.
func (c *Client) Set(ctx context.Context, keys ...Pair) (revision uint64, err error) {
	escaped := make(list[Pair], 0, len(keys))
	for _, p := range keys {
		escaped = append(escaped, Pair{p.Key, extraconfig.Escape(p.Value)})
	}
	var r revisionResult
	_, err = c.call(ctx, methodSet, pairsParams{escaped}, &r)
	return r.Revision, err
}

// call makes one request, again and again until it is answered for good, and gives the key for the secrets of the answer.
func (c *Client) call(ctx context.Context, method string, params, result any) (executor.Secret, error) {
	retry := firstRetry
	for {
		l, key, err := c.wait(ctx)
		if err != nil {
			return nil, err
		}
		err = l.call(ctx, method, params, result)
		wait, again := retryable(err, retry)
		if !again || ctx.Err() != nil {
			return key, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, because(ctx, err)
		}
		retry = min(2*retry, lastRetry)
	}
}

// retryable says whether and when a request may succeed that has failed with err.
func retryable(err error, retry time.Duration) (wait time.Duration, again bool) {
	if errors.Is(err, errLost) {
		return 0, true
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e.Code == codeLimited:
		return max(retry, min(time.Duration(e.Data.RetryAfter*float64(time.Second)), time.Minute)), true
	case ok && e.Code == codeUnavailable:
		return retry, true
	}
	return 0, false
}

// wait gives the link, once there is one, and the key that came with its welcome.
func (c *Client) wait(ctx context.Context) (*link, executor.Secret, error) {
	for {
		c.mu.Lock()
		l, key, moved, err := c.link, c.welcome.Key, c.moved, c.err
		c.mu.Unlock()
		if l != nil && l.lost() == nil {
			return l, key, nil
		}
		select {
		case <-moved:
		case <-c.ended:
			return nil, nil, ErrClosed
		case <-ctx.Done():
			return nil, nil, because(ctx, err)
		}
	}
}

// Close ends the connection and all calls under way, and waits until nothing is left of it.
func (c *Client) Close() error {
	c.stop(ErrClosed)
	<-c.ended
	return nil
}
