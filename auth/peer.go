package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// Peer is who is at the other end of a connection, as far as the operating system tells.
type Peer struct {
	Address string // an address with its port, or "unix uid=1000 pid=4711"
	// Client is the same for all connections of one client: a user at a unix socket, an IPv4 address, or the network of an IPv6 address, all of which one client may have.
	Client string
}

// PeerOf gives who is at the other end of a connection. Connections that wrap another tell it by NetConn, as those of crypto/tls do.
func PeerOf(c net.Conn) Peer { return placeAt(Bare(c)).peer }

// PeerIn gives whose request a context belongs to, when the connection's is from ConnContext.
func PeerIn(ctx context.Context) Peer {
	at, _ := ctx.Value(placeKey{}).(place)
	return at.peer
}

// place is where a caller is, as far as the connection itself tells.
type place struct {
	peer     Peer
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
		uid, pid, err := peerIDs(c)
		if err != nil {
			return place{peer: Peer{"unix", "unix"}}
		}
		return place{Peer{fmt.Sprintf("unix uid=%d pid=%d", uid, pid), fmt.Sprintf("unix uid=%d", uid)}, false, true, uid}
	case *net.TCPConn:
		here, ok := c.LocalAddr().(*net.TCPAddr)
		return place{peer: peerAt(c.RemoteAddr()), loopback: ok && here.IP.IsLoopback()}
	}
	return place{peer: peerAt(c.RemoteAddr())}
}

// peerAt is who has an address.
func peerAt(addr net.Addr) Peer {
	p := Peer{addr.String(), addr.String()}
	at, err := netip.ParseAddrPort(p.Address)
	if err != nil {
		return p
	}
	address := at.Addr().Unmap().WithZone("")
	p.Client = address.String()
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			p.Client = network.String()
		}
	}
	return p
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
