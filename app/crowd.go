package app

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/handlers"
)

const (
	// spare is how many connections beyond the limits are still told so. Those beyond these are closed without a word.
	spare = 64
	// patience is how long a connection may wait, without a request that has come in whole, before it can be closed in favour of another.
	patience = time.Second
)

// crowd counts connections, in all and of each client, over all listeners. When there are as many as may be, a new one takes the place of
// the one that has waited longest without a request, so that connections which do nothing, or send a request bit by bit, keep nobody
// out; when all are at work the new one is told to come again. A client is an address, or a user at a unix socket.
type crowd struct {
	all, each int
	now       func() time.Time

	mu      sync.Mutex
	count   int
	over    int // connections that are to be told that they are too many; not in count
	clients map[string]int
	waiting *list.List // of *visitor; those that wait for a request, the longest first
}

func newCrowd(b Bounds) *crowd {
	b = b.orDefault()
	return &crowd{all: b.MaxConnections, each: b.MaxConnectionsPerClient, now: time.Now, clients: map[string]int{}, waiting: list.New()}
}

// visitor is a connection that is counted.
type visitor struct {
	net.Conn
	crowd  *crowd
	client string

	// Under the crowd's lock.
	over   bool
	gone   bool
	since  time.Time     // it waits
	inLine *list.Element // of waiting; nil while a request is under way
}

// NetConn gives what is below, as that of tls.Conn does.
func (v *visitor) NetConn() net.Conn { return v.Conn }

// Close makes room for another.
func (v *visitor) Close() error {
	v.crowd.leave(v)
	return v.Conn.Close()
}

// CloseWrite lets the server end what it says before it ends the connection, so that a client hears why.
func (v *visitor) CloseWrite() error {
	if c, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// listener counts what it accepts.
type listener struct {
	net.Listener
	crowd *crowd
}

// Accept gives the next connection that is served, or told that it is too many.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		v := &visitor{Conn: c, crowd: l.crowd, client: auth.PeerOf(c).Client}
		if l.crowd.enter(v) {
			return v, nil
		}
		c.Close()
	}
}

// enter counts a connection; false when there are so many that it cannot even be told.
func (c *crowd) enter(v *visitor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.over = c.clients[v.client] >= c.each && !c.makeRoom(v.client) || c.count >= c.all && !c.makeRoom("")
	switch {
	case v.over && c.over >= spare:
		return false
	case v.over:
		c.over++
	default:
		c.count++
		c.clients[v.client]++
	}
	c.wait(v)
	return true
}

// makeRoom ends the connection that has waited longest, of one client or of all.
func (c *crowd) makeRoom(client string) bool {
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		v := e.Value.(*visitor)
		if c.now().Sub(v.since) < patience {
			return false // so do all behind it
		}
		if !v.over && (client == "" || client == v.client) {
			c.remove(v)
			v.Conn.Close()
			return true
		}
	}
	return false
}

func (c *crowd) wait(v *visitor) {
	if !v.gone && v.inLine == nil {
		v.since = c.now()
		v.inLine = c.waiting.PushBack(v)
	}
}

func (c *crowd) leave(v *visitor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(v)
}

func (c *crowd) remove(v *visitor) {
	if v.gone {
		return
	}
	v.gone = true
	c.work(v)
	if v.over {
		c.over--
		return
	}
	c.count--
	if c.clients[v.client]--; c.clients[v.client] == 0 {
		delete(c.clients, v.client)
	}
}

// work takes a connection out of those that wait.
func (c *crowd) work(v *visitor) {
	if v.inLine != nil {
		c.waiting.Remove(v.inLine)
		v.inLine = nil
	}
}

// state follows what a connection does. It is for http.Server's ConnState: a request that has not come in whole is none yet.
func (c *crowd) state(conn net.Conn, state http.ConnState) {
	v := visitorOf(conn)
	if v == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateActive:
		c.work(v)
	case http.StateIdle:
		c.wait(v)
	}
}

// connContext notes in a connection's context who is at its other end, and whether it is one too many.
func connContext(ctx context.Context, c net.Conn) context.Context {
	ctx = auth.ConnContext(ctx, c)
	if v := visitorOf(c); v != nil && v.over { // which does not change
		ctx = handlers.Crowded(ctx)
	}
	return ctx
}

// visitorOf finds the counted connection below one of the server's.
func visitorOf(c net.Conn) *visitor {
	for {
		if v, ok := c.(*visitor); ok {
			return v
		}
		wrapped, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = wrapped.NetConn()
	}
}
