package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/models"
)

// watchTest is a server that is ended and started again while clients write and watch. They reach it by a socket, which stays where it is.
type watchTest struct {
	*testing.T
	dir, socket string
	reached     chan uint64   // revisions that one of the watchers was told
	final       atomic.Uint64 // the last revision, once it is known
}

func (w *watchTest) start() *server {
	w.Helper()
	return start(w.T, w.dir, nil, "--socket-path", w.socket)
}

func (w *watchTest) client() *apiclient.Client {
	w.Helper()
	c, err := apiclient.New("unix://" + w.socket)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.Close)
	return c
}

// TestWatchersSeeEachRevisionOnce: several clients write, others watch, some of whom break off at random and go on where they were, and one does not
// read at all, while the server is stopped and killed. Whoever reads is told each revision, once, in order, and the same as all others.
func TestWatchersSeeEachRevisionOnce(t *testing.T) {
	const watchers, writers, rounds = 8, 4, 4
	w := &watchTest{T: t, dir: t.TempDir(), socket: filepath.Join(t.TempDir(), "api.sock"), reached: make(chan uint64, 100_000)}
	s := w.start()
	told := make([][]*models.Event, watchers)
	var watching, writing sync.WaitGroup
	for i := range watchers {
		client := w.client()
		watching.Go(func() { told[i] = w.follow(client, i%2 == 1, i == 0) })
	}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	for i := range writers {
		client := w.client()
		writing.Go(func() { w.write(ctx, client, fmt.Sprintf("x%d", i)) })
	}
	for round := range rounds {
		w.stall()
		w.wait(uint64(round+1) * 200)
		if round%2 == 0 {
			s.terminate()
			if log := s.output.String(); strings.Contains(log, "cut off") {
				t.Error("the end waited for streams")
			}
		} else {
			s.kill()
		}
		s = w.start()
	}
	w.wait(rounds*200 + 100)
	enough()
	writing.Wait()
	var list struct{ Revision uint64 }
	s.expect(http.StatusOK, "GET", "/v1/executors", "", &list)
	w.final.Store(list.Revision)
	s.expect(http.StatusOK, "PUT", "/v1/executors/x0", `{"notes": "the last"}`, nil) // wakes who saw the final one already
	watching.Wait()
	for i := range told { // the last request of a writer, which did not wait for it, may be committed later still: some saw that and some did not
		if uint64(len(told[i])) < list.Revision {
			t.Fatalf("watcher %d was told %d of %d revisions", i, len(told[i]), list.Revision)
		}
		if !reflect.DeepEqual(told[i][:list.Revision], told[0][:list.Revision]) {
			t.Errorf("watcher %d was told other things than the first", i)
		}
	}
	s.terminate()
}

// follow is a watcher, until it knows all. Whoever is restless begins anew again and again.
func (w *watchTest) follow(c *apiclient.Client, restless, reports bool) (told []*models.Event) {
	at := uint64(0)
	for {
		stint := rand.IntN(50)
		for e, err := range c.Watch(w.Context(), apiclient.WatchOptions{Since: new(at)}) {
			if err != nil {
				if restless && apiclient.Problem(err) == nil && w.Context().Err() == nil {
					break // it began anew while there was no server
				}
				w.Error(apiclient.Describe(err))
				return told
			}
			if at++; e.Revision != at {
				w.Errorf("after revision %d comes %d", at-1, e.Revision)
				return told
			}
			if final := w.final.Load(); final == 0 || at <= final {
				told = append(told, e)
			}
			if reports {
				w.reached <- at
			}
			if final := w.final.Load(); final > 0 && at > final {
				return told
			}
			if stint--; restless && stint < 0 {
				break
			}
		}
	}
}

// write changes an executor until ctx ends, whether or not there is a server.
func (w *watchTest) write(ctx context.Context, c *apiclient.Client, id string) {
	for i := 0; ctx.Err() == nil; i++ {
		_, _, err := c.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID(id).WithBody(&models.Executor{Hostname: "h" + strconv.Itoa(i)}))
		if p := apiclient.Problem(err); p != nil && p.Status != http.StatusServiceUnavailable {
			w.Error(apiclient.Describe(err))
			return
		}
	}
}

// wait waits until a watcher was told a revision.
func (w *watchTest) wait(revision uint64) {
	for at := range w.reached {
		if at >= revision {
			return
		}
	}
}

// stall is a client that asks for all, and reads nothing.
func (w *watchTest) stall() {
	w.Helper()
	c, err := net.Dial("unix", w.socket)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET /v1/watch?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		w.Fatal(err)
	}
}

// TestWatchesLeaveNothing: when clients have gone, so have the server's files and goroutines.
func TestWatchesLeaveNothing(t *testing.T) {
	const clients = 200
	s := start(t, t.TempDir(), nil)
	s.expect(http.StatusCreated, "PUT", "/v1/executors/x", `{}`, nil)
	figures := func() (watches, files, goroutines int) {
		values, _ := s.metrics()
		for name, n := range map[string]*int{"config_server_watches": &watches, "process_open_fds": &files, "go_goroutines": &goroutines} {
			value, err := strconv.Atoi(values[name])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			*n = value
		}
		return watches, files, goroutines
	}
	_, filesBefore, goroutinesBefore := figures()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var all sync.WaitGroup
	begun := make(chan struct{}, 2*clients)
	for range clients {
		all.Go(func() {
			c, err := apiclient.New(s.api)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for _, err := range c.Watch(ctx, apiclient.WatchOptions{Heartbeats: true}) {
				if err == nil {
					begun <- struct{}{}
				}
			}
		})
		all.Go(func() {
			c, err := apiclient.New(s.api)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = c.WaitExecutor(ctx, "x", func(*models.Executor) bool { return false }) // ends with ctx
		})
	}
	for range clients {
		<-begun
	}
	if watches, files, _ := figures(); watches != clients || files < filesBefore+clients {
		t.Errorf("%d clients watch: the server has %d watches and %d files", clients, watches, files)
	}
	leave()
	all.Wait()
	for {
		watches, files, goroutines := figures()
		if watches == 0 && files <= filesBefore+10 && goroutines <= goroutinesBefore+20 {
			break // connections of the test's own come and go
		}
	}
	s.terminate()
}
