package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	// writeTimeout is how long a guest may not read before its connection ends.
	writeTimeout = 10 * time.Second
	// callTimeout is how long a VM may take for one request.
	callTimeout = time.Minute
	// readAhead is how many requests, of MaxLine bytes together, may wait for their answers. The next is read later, and so
	// is a hello behind it.
	readAhead = 16
	// keepBuffer is how large a message may be whose memory the next one has.
	keepBuffer = 256 << 10
)

// conn is one connection. One goroutine reads it, and hands requests one by one to the one that answers them.
type conn struct {
	server   *Server
	stream   net.Conn
	requests chan request
	room     *semaphore.Weighted // bytes of requests
	wake     chan struct{}       // there are changes to announce
	writing  chan struct{}       // has room while nothing is written
	cancel   context.CancelFunc  // ends the connection
	ended    chan struct{}       // closed once nothing of it is under way any more

	mu      sync.Mutex // of what follows
	current *session   // that of the last hello, nil before the first
	pending changes    // that the guest has not been told
}

// session is what one hello began.
type session struct {
	ctx        context.Context
	cancel     context.CancelFunc
	hello      Hello // once it was checked
	welcomed   bool
	subscribed bool
}

// request is a message that waits for its answer.
type request struct {
	message
	session *session
	fault   *Error // it cannot be read; the answer to it
	size    int64
}

// serve reads requests and answers them until the connection ends.
func (c *conn) serve(parent, ctx context.Context) error {
	defer c.cancel()
	defer context.AfterFunc(ctx, func() { c.stream.Close() })()
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.cancel()
		failed = c.read(ctx)
	}()
	err := c.answer(ctx)
	ended := ctx.Err() != nil // by the reader, or from above
	c.cancel()
	c.stream.Close()
	<-done
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case err == nil && ended:
		err = failed
	}
	if hungUp(err) {
		return nil
	}
	return err
}

// hungUp reports whether an error is that of a stream which the other side ended.
func hungUp(err error) bool {
	for _, is := range []error{io.EOF, io.ErrClosedPipe, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// answer answers requests and announces changes. Its error is that of a write.
func (c *conn) answer(ctx context.Context) error {
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case r := <-c.requests:
			err = c.handle(r) //nolint:contextcheck // a request has the context of its session
			c.room.Release(r.size)
		case <-c.wake:
			err = c.announce()
		}
		if err != nil {
			return err
		}
	}
}

// read reads the stream until it ends: nil when the other side ended it.
func (c *conn) read(ctx context.Context) error {
	lines := newLines(&slowed{ctx, c.stream, c.server.traffic}, MaxLine)
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, errLong):
			err = c.received(ctx, message{}, errorf(codeRequest, "a line has at most %d bytes", MaxLine))
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			err = c.line(ctx, line)
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line. Before the first hello it looks only at what may be one.
func (c *conn) line(ctx context.Context, line []byte) error {
	if c.session() == nil && !bytes.Contains(line, []byte(methodHello)) {
		c.ignored()
		return nil
	}
	m, fault := parse(line, strict)
	return c.received(ctx, m, fault)
}

// received hands a message on, in its session. A hello ends the session before it, and all that is under way there.
func (c *conn) received(ctx context.Context, m message, fault *Error) error {
	s := c.session()
	switch {
	case fault == nil && m.Method == methodHello && !m.anonymous():
		s = c.begin(ctx)
	case s == nil, fault == nil && (m.anonymous() || m.Method == ""):
		c.ignored()
		return nil
	}
	if err := c.server.requests.Wait(ctx); err != nil {
		return err
	}
	if fault == nil && m.Method == methodPing && c.welcomed(s) {
		return c.write(s, outgoing{ID: m.ID, Result: struct{}{}}) // at once, whatever else is under way
	}
	r := request{message: m, session: s, fault: fault, size: int64(len(m.Params))}
	if err := c.room.Acquire(ctx, r.size); err != nil {
		return err
	}
	select {
	case c.requests <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *conn) ignored() { c.server.event(Event{Kind: EventIgnored}) }

func (c *conn) session() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// begin begins a session.
func (c *conn) begin(ctx context.Context) *session {
	s := &session{}
	s.ctx, s.cancel = context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.cancel()
	}
	c.current, c.pending = s, changes{}
	return s
}

func (c *conn) welcomed(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current == s && s.welcomed
}

// changed notes a change for a guest that subscribed.
func (c *conn) changed(revision uint64, keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || !c.current.subscribed {
		return
	}
	c.pending.add(revision, keys)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// announce tells the guest what it has not been told.
func (c *conn) announce() error {
	c.mu.Lock()
	s := c.current
	change, there := c.pending.take()
	c.mu.Unlock()
	if !there {
		return nil
	}
	return c.write(s, outgoing{Method: methodChanged, Params: change})
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write writes one message, unless its session is over. A guest may read slowly, but must read.
func (c *conn) write(s *session, o outgoing) error {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Reset(); b.Cap() <= keepBuffer {
			buffers.Put(b)
		}
	}()
	if o.fresh {
		b.WriteByte('\n') // ends what an earlier connection may have left half written
	}
	if err := o.appendLine(b); err != nil {
		return fmt.Errorf("write %s: %w", o.Method, err)
	}
	if b.Len() > MaxLine && o.Error == nil {
		c.server.log.Error("answering a guest", "err", fmt.Sprintf("a message of %d bytes is too long", b.Len()))
		return c.write(s, outgoing{ID: o.ID, Error: errorf(codeInternal, "the answer is too long")})
	}
	c.writing <- struct{}{} // not for long: a write ends when the guest does not read
	defer func() { <-c.writing }()
	if c.session() != s {
		return nil
	}
	for rest := b.Bytes(); len(rest) > 0; {
		if err := c.stream.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		n, err := c.stream.Write(rest)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return fmt.Errorf("write to the guest: %w", err)
		}
		rest = rest[n:]
	}
	c.server.traffic.ReserveN(time.Now(), min(b.Len(), burstTraffic))
	return nil
}

// slowed reads a stream no faster than a guest may send.
type slowed struct {
	ctx     context.Context
	stream  io.Reader
	traffic *rate.Limiter
}

func (r *slowed) Read(p []byte) (int, error) {
	n, err := r.stream.Read(p)
	if n > 0 {
		if wait := r.traffic.WaitN(r.ctx, n); wait != nil {
			return 0, wait
		}
	}
	return n, err
}
