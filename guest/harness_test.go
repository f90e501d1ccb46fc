package guest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/guest"
)

// wire is the guest's end of a connection, in bytes.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	done chan error // what Serve returned
}

// dial serves one connection in memory.
func dial(t *testing.T, s *guest.Server) *wire {
	t.Helper()
	near, far := net.Pipe()
	w := &wire{t: t, conn: near, r: bufio.NewReader(near), done: make(chan error, 1)}
	go func() { w.done <- s.Serve(t.Context(), far) }()
	t.Cleanup(func() { near.Close() })
	return w
}

// send writes lines as they are.
func (w *wire) send(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(w.conn, line+"\n"); err != nil {
			w.t.Fatalf("send %.80q: %v", line, err)
		}
	}
}

// answer is a message as a guest in another language sees it.
type answer struct {
	JSONRPC string `json:"jsonrpc"`
	ID      any    `json:"id"`
	Method  string `json:"method"`
	Params  struct {
		Revision uint64   `json:"revision"`
		Keys     []string `json:"keys"`
		All      bool     `json:"all"`
	} `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *guest.Error    `json:"error"`
}

func (a answer) String() string {
	if a.Error != nil {
		return fmt.Sprintf("id %v: error %d %s: %s", a.ID, a.Error.Code, a.Error.Data.Key, a.Error.Message)
	}
	return fmt.Sprintf("id %v: %s", a.ID, a.Result)
}

// next reads the next message.
func (w *wire) next() answer {
	w.t.Helper()
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("read: %v after %q", err, line)
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.JSONRPC != "2.0" {
			w.t.Fatalf("the server wrote %q: %v", line, err)
		}
		return a
	}
}

// ask sends one request with an id and reads its answer.
func (w *wire) ask(method, params string) answer {
	w.t.Helper()
	w.send(request("1", method, params))
	return w.next()
}

func request(id, method, params string) string {
	if params == "" {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params)
}

const hello = `{"protocol":1,"agent":"test/1","boot":"b1"}`

// welcomed is a connection whose hello was answered.
func welcomed(t *testing.T, s *guest.Server) *wire {
	t.Helper()
	w := dial(t, s)
	if a := w.ask("hello", hello); a.Error != nil {
		t.Fatal(a)
	}
	return w
}

// end closes the connection and answers what Serve said.
func (w *wire) end() error {
	w.conn.Close()
	return <-w.done
}

// counter counts events.
type counter struct {
	mu     sync.Mutex
	events []guest.Event
}

func (c *counter) add(e guest.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

func (c *counter) of(kind guest.EventKind) (found []guest.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// unlimited is what a test needs that is about something else than the rate of requests.
var unlimited = guest.Limits{Writes: 1e9, Burst: 1e9, Requests: 1e9, Traffic: 1 << 40}

// pipes gives an opener whose streams are served in memory.
func pipes(ctx context.Context, s *guest.Server) guest.Opener {
	return func(context.Context) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		go func() { _ = s.Serve(ctx, far) }()
		return near, nil
	}
}

// listen serves a VM on a unix socket until the test ends, and gives its address.
func listen(t *testing.T, s *guest.Server) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "guest") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	serveAt(t, s, path)
	return "unix:" + path
}

// serveAt serves a VM on a path; the function that it gives ends the listener and all connections.
func serveAt(t *testing.T, s *guest.Server, path string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _ = s.Serve(ctx, conn) })
		}
	})
	stop = func() { cancel(); l.Close(); all.Wait() }
	t.Cleanup(stop)
	return stop
}

func client(t *testing.T, open guest.Opener, o guest.ClientOptions) *guest.Client {
	t.Helper()
	c, err := guest.Open(t.Context(), open, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func address(t *testing.T, text string) guest.Opener {
	t.Helper()
	open, err := guest.Address(text)
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// nothingLeft checks at the end of the test that goroutines and descriptors are as many as now. What ends by itself has
// as long as the test binary has: a leak shows as a test that does not end, with all goroutines.
func nothingLeft(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Cleanup(func() {
		for runtime.NumGoroutine() > goroutines || descriptors(t) > files {
			runtime.Gosched()
			<-time.After(time.Millisecond)
		}
	})
}

func descriptors(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
