package guest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/guest"
)

// cutter opens streams to a server's socket that break after a random number of bytes, in the middle of a message.
// Some breaks leave the server's end as it is, as a VMM does when the guest's software dies: what was half written there stays, and
// what was not read comes first on the next stream. Before a stream there may be garbage, in both directions.
type cutter struct {
	path string
	rand *rand.Rand

	mu   sync.Mutex
	conn net.Conn // that a stream left behind
	cuts int
	last int // after so many cuts, no more
}

func (c *cutter) open(ctx context.Context) (io.ReadWriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &cutStream{cutter: c, conn: c.conn, left: 1 << 40}
	c.conn = nil
	if s.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	} else if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if c.cuts < c.last {
		s.left = 1 + c.rand.IntN(3000)
		s.keep = c.rand.IntN(2) == 0
		if c.rand.IntN(2) == 0 {
			s.before = c.garbage(true)
		}
		if c.rand.IntN(2) == 0 {
			if _, err := s.conn.Write(c.garbage(false)); err != nil {
				s.conn.Close()
				return nil, err
			}
		}
	}
	return s, nil
}

// garbage is noise, blank lines, and pieces of messages; for the guest their ends too, which might complete what it
// was sent half of.
func (c *cutter) garbage(ends bool) []byte {
	var b []byte
	for range 1 + c.rand.IntN(4) {
		switch c.rand.IntN(4) {
		case 0:
			for range c.rand.IntN(200) {
				b = append(b, byte(c.rand.Uint32()))
			}
		case 1:
			b = append(b, "\n\r\n\n"...)
		case 2:
			whole := `{"jsonrpc":"2.0","id":"stale-7","result":{"revision":999999,"keys":[{"key":"` + name + `","value":"wrong"}]}}` + "\n"
			if ends {
				b = append(b, whole[c.rand.IntN(len(whole)):]...)
			}
		case 3:
			whole := `{"jsonrpc":"2.0","method":"changed","params":{"revision":999999,"keys":["wrong"]}}` + "\n"
			b = append(b, whole[:c.rand.IntN(len(whole))]...)
		}
	}
	return b
}

// cutStream is one stream, until it breaks.
type cutStream struct {
	cutter *cutter
	conn   net.Conn
	keep   bool   // the server's end
	before []byte // garbage to read first

	mu     sync.Mutex
	left   int
	closed bool
}

var errCut = errors.New("cut")

// take allows some of n bytes; when that is all there were, the stream breaks behind them.
func (s *cutStream) take(n int) (allowed int, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= s.left {
		n = s.left
	}
	s.left -= n
	return n, s.left == 0
}

func (s *cutStream) Write(p []byte) (int, error) {
	n, last := s.take(len(p))
	if n > 0 {
		if n, err := s.conn.Write(p[:n]); err != nil {
			return n, err
		}
	}
	if last {
		_ = s.Close()
		return n, errCut
	}
	return n, nil
}

func (s *cutStream) Read(p []byte) (int, error) {
	if len(s.before) > 0 {
		n := copy(p, s.before)
		s.before = s.before[n:]
		return n, nil
	}
	n, err := s.conn.Read(p)
	n, last := s.take(n) // what is more is lost
	if last && err == nil {
		_ = s.Close()
		err = errCut
	}
	return n, err
}

func (s *cutStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.cutter.mu.Lock()
	defer s.cutter.mu.Unlock()
	s.cutter.cuts++
	if s.keep && s.cutter.cuts < s.cutter.last && s.cutter.conn == nil {
		s.cutter.conn = s.conn
		return s.conn.SetReadDeadline(time.Unix(1, 0)) // ends a read that is under way
	}
	return s.conn.Close()
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// TestCutStream cuts the stream 1,000 times while a guest sets keys, reads them and watches: no set is lost or done late, no
// snapshot is of two revisions, every change is seen, and nothing is left behind.
func TestCutStream(t *testing.T) {
	nothingLeft(t)
	const cuts = 1000
	seed := rand.Uint64()
	t.Log("seed", seed)
	m := newMachine(name, "0")
	s := guest.NewServer(m, guest.Options{Limits: unlimited})
	cut := &cutter{path: listen(t, s)[len("unix:"):], rand: rand.New(rand.NewPCG(seed, 1)), last: cuts}
	c := client(t, cut.open, guest.ClientOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	keys := []string{status, "guestinfo.vice..a", "guestinfo.vice..b"}
	var all sync.WaitGroup
	sets := 0
	all.Go(func() { // the guest's writer, and the server's
		for ; cut.count() < cuts; sets++ {
			value := fmt.Sprintf("%08d", sets)
			var pairs []guest.Pair
			for _, k := range keys {
				pairs = append(pairs, guest.Pair{Key: k, Value: value})
			}
			if _, err := c.Set(ctx, pairs...); err != nil || m.value(status) != value {
				t.Errorf("set %s: %v, the VM has %s", value, err, m.value(status))
				break
			}
			s.Changed(m.put(name, fmt.Sprint(sets)), name)
		}
		s.Changed(m.put(name, "end"), name)
	})
	snapshots := 0
	all.Go(func() { // a reader
		last := ""
		for ; cut.count() < cuts; snapshots++ {
			v, err := c.Snapshot(ctx)
			if err != nil {
				t.Errorf("snapshot: %v", err)
				return
			}
			seen := map[string]string{}
			for _, p := range v.Keys {
				seen[p.Key] = p.Value
			}
			if seen[keys[0]] != seen[keys[1]] || seen[keys[0]] != seen[keys[2]] || seen[keys[0]] < last || v.Revision > 900000 {
				t.Errorf("snapshot after %s: %d %v", last, v.Revision, seen)
				return
			}
			last = seen[keys[0]]
		}
	})
	all.Go(func() { // who waits for the end
		for change, err := range c.Watch(ctx) {
			if err != nil || slices.Contains(change.Keys, "wrong") {
				t.Errorf("watch: %v, %v", change, err)
				return
			}
			v, err := c.Get(ctx, name)
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			if len(v.Keys) == 1 && v.Keys[0].Value == "end" {
				return
			}
		}
	})
	all.Wait()
	previous := ""
	for _, set := range m.sets {
		if set[0].Value < previous {
			t.Fatalf("%s was set after %s", set[0].Value, previous)
		}
		previous = set[0].Value
	}
	t.Logf("%d cuts, %d sets, of which %d were done more than once, %d snapshots", cut.count(), sets, len(m.sets)-sets, snapshots)
	_ = c.Close()
}
