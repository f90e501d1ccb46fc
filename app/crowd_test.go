package app

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/auth"
)

// TestDefaultBounds: what the command line says when it says nothing is what a program gets that leaves all at zero.
func TestDefaultBounds(t *testing.T) {
	var o Options
	if _, err := flags.NewParser(&o, flags.None).ParseArgs(nil); err != nil {
		t.Fatal(err)
	}
	if want := (Bounds{}).orDefault(); o.Bounds != want {
		t.Errorf("by flags %+v, by itself %+v", o.Bounds, want)
	}
}

// crowdTest is a crowd whose clock the test has.
type crowdTest struct {
	*testing.T
	*crowd
	clock time.Time
}

func newCrowdTest(t *testing.T, all, each int) *crowdTest {
	c := &crowdTest{T: t, clock: time.Unix(0, 0), crowd: newCrowd(Bounds{MaxConnections: all, MaxConnectionsPerClient: each})}
	c.now = func() time.Time { return c.clock }
	return c
}

// come lets a connection of a client in: nil when it was not.
func (c *crowdTest) come(client string) *visitor {
	c.Helper()
	here, there := net.Pipe()
	c.Cleanup(func() { _, _ = here.Close(), there.Close() })
	v := &visitor{Conn: here, crowd: c.crowd, client: client}
	if !c.enter(v) {
		return nil
	}
	c.state(v, http.StateNew)
	return v
}

func (c *crowdTest) expect(v *visitor, over, gone bool) {
	c.Helper()
	if v == nil || v.over != over || v.gone != gone {
		c.Errorf("%+v, want over %v, gone %v", v, over, gone)
	}
}

// TestCrowdMakesRoom: the one that has waited longest goes, and none that works or has just come.
func TestCrowdMakesRoom(t *testing.T) {
	c := newCrowdTest(t, 4, 3)
	first, second, third := c.come("a"), c.come("a"), c.come("a")
	c.expect(c.come("a"), true, false) // all have just come
	c.clock = c.clock.Add(patience)
	c.state(first, http.StateActive)
	fifth := c.come("a")
	c.expect(fifth, false, false)
	c.expect(first, false, false)
	c.expect(second, false, true)

	other := c.come("b")
	c.expect(other, false, false) // the fourth
	c.clock = c.clock.Add(patience)
	c.state(first, http.StateIdle) // now it waits again, the shortest
	c.expect(c.come("b"), false, false)
	c.expect(third, false, true)
	c.expect(first, false, false)
	for _, v := range []*visitor{first, fifth, other} {
		c.state(v, http.StateActive)
	}
	c.clock = c.clock.Add(patience)
	c.expect(c.come("c"), false, false) // in the place of b's last
	c.expect(c.come("c"), true, false)  // which has just come
}

// TestCrowdForgets: what ended is not counted, however often it ended.
func TestCrowdForgets(t *testing.T) {
	c := newCrowdTest(t, 2, 1)
	for range 10 {
		v := c.come("a")
		c.state(v, http.StateActive)
		over := c.come("a")
		c.expect(v, false, false)
		c.expect(over, true, false)
		_ = v.Close()
		_ = over.Close()
		c.state(v, http.StateClosed)
		c.state(v, http.StateIdle) // too late
		_ = v.Close()
	}
	if c.count != 0 || c.over != 0 || len(c.clients) != 0 || c.waiting.Len() != 0 {
		t.Errorf("%d, %d over, %v, %d in line", c.count, c.over, c.clients, c.waiting.Len())
	}
	for range 1 + spare {
		if c.come("a") == nil {
			t.Fatal("one was not even told")
		}
	}
	if c.come("a") != nil || c.come("b") == nil {
		t.Error("one too many is kept, or another client is not")
	}
}

func TestClients(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64", "pipe": "pipe",
	} {
		if got := auth.PeerOf(remote{addr: addr(address)}).Client; got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

// remote is a connection of which only its other end is known.
type remote struct {
	net.Conn
	addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }
