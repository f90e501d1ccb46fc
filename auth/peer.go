package auth

import (
	"context"
	"fmt"
	"net"
	"os"
)

// place is where a caller is, as far as the connection itself tells.
type place struct {
	loopback bool // on this machine, over TCP
	socket   bool // at the other end of a unix socket, as the user uid
	uid      uint32
}

type placeKey struct{}

// ConnContext notes in a connection's context where its caller is. It is for http.Server's field of that name. Connections
// that wrap another tell it by NetConn, as those of crypto/tls do.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, placeKey{}, placeAt(Bare(c)))
}

// Bare gives the connection that the operating system knows of one that wraps it.
func Bare(c net.Conn) net.Conn {
	for {
		wrapped, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = wrapped.NetConn()
	}
}

// placeAt is nowhere when the operating system does not say.
func placeAt(c net.Conn) place {
	switch c := c.(type) {
	case *net.UnixConn:
		uid, err := PeerUID(c)
		return place{socket: err == nil, uid: uid}
	case *net.TCPConn:
		here, ok := c.LocalAddr().(*net.TCPAddr)
		return place{loopback: ok && here.IP.IsLoopback()}
	}
	return place{}
}

// principal is who is an administrator for the place alone: the server's own user and root at a unix socket, who could read
// its files just as well; and on a loopback address everybody, unless callers are told from each other there.
func (p place) principal(told bool) (Principal, bool) {
	switch {
	case p.socket && (p.uid == 0 || p.uid == uint32(os.Geteuid())): //nolint:gosec // user ids have 32 bits
		return Principal{Name: fmt.Sprintf("uid-%d", p.uid), Role: Admin}, true
	case p.loopback && !told:
		return Principal{Name: "loopback", Role: Admin}, true
	}
	return Principal{}, false
}
