//go:build system

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/seal"
	"github.com/vmexecutor/config-server/store/storetest"
)

var crashRounds = flag.Int("crash.rounds", 10, "how often TestSystemCrash kills the server")

const (
	crashClients  = 16
	crashFreshDir = 50 // rounds on one store
)

// crash is a server that is killed again and again while clients write, and what they know.
type crash struct {
	*testing.T
	dir      string
	answered [crashClients]int // the last write of each client that was answered
	tried    [crashClients]int
	mu       sync.Mutex
	events   map[uint64]string // what an answer said of its revision: the executor
}

// TestSystemCrash: whenever the server is killed, what it had answered is there, the feed has no gap and says what was answered, and the
// store opens and is sound.
func TestSystemCrash(t *testing.T) {
	var c *crash
	answers := 0
	for round := range *crashRounds {
		if round%crashFreshDir == 0 {
			c = &crash{T: t, dir: t.TempDir()}
		}
		c.events = map[uint64]string{}
		c.killed(1 + rand.IntN(400))
		c.look()
		answers += len(c.events)
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
	}
	t.Logf("%d kills, %d answered writes, none lost", *crashRounds, answers)
}

// killed starts the server and has clients write until so many writes were answered; then it kills it.
func (c *crash) killed(enough int) {
	s := start(c.T, c.dir, nil, "--simulator-vms", "0")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crashClients}}
	defer client.CloseIdleConnections()
	var answered atomic.Int64
	var clients sync.WaitGroup
	reached, once := make(chan struct{}), sync.Once{}
	for i := range crashClients {
		clients.Go(func() {
			for {
				c.tried[i] = max(c.tried[i], c.answered[i]) + 1
				revision, err := c.put(client, s.api, i)
				if err != nil {
					return // the server is gone: this one was not answered
				}
				c.answered[i] = c.tried[i]
				c.mu.Lock()
				c.events[revision] = crashID(i)
				c.mu.Unlock()
				if answered.Add(1) >= int64(enough) {
					once.Do(func() { close(reached) })
				}
			}
		})
	}
	<-reached
	s.kill()
	clients.Wait()
}

func crashID(client int) string { return fmt.Sprintf("x%d", client) }

// put writes a client's executor, and gives the revision that it got.
func (c *crash) put(client *http.Client, api string, i int) (revision uint64, err error) {
	body := fmt.Sprintf(`{"hostname": "h%d", "notes": %q}`, c.tried[i], strings.Repeat("n", c.tried[i]%7*1000))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, api+"/v1/executors/"+crashID(i), strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	if _, err := io.ReadAll(a.Body); err != nil {
		return 0, err
	}
	var config uint64
	if _, err := fmt.Sscanf(a.Header.Get("ETag"), `"%d-%d"`, &config, &revision); err != nil || a.StatusCode/100 != 2 {
		c.Errorf("PUT: %d with ETag %s", a.StatusCode, a.Header.Get("ETag"))
		return 0, io.ErrUnexpectedEOF
	}
	return revision, nil
}

// look opens the store that the server left behind.
func (c *crash) look() {
	e, err := bolt.Open(c.dir)
	if err != nil {
		c.Fatal(err)
	}
	defer e.Close() //nolint:errcheck // it was only read
	storetest.Sound(c.T, e)
	keys, err := seal.ReadFile(filepath.Join(c.dir, "secret.key"))
	if err != nil {
		c.Fatal(err)
	}
	st, err := store.New(e, store.Options{Keys: seal.NewKeys(keys.Keys...)})
	if err != nil {
		c.Fatal(err)
	}
	for i := range crashClients {
		x, err := st.Executor(c.Context(), crashID(i))
		if err != nil {
			if c.answered[i] > 0 {
				c.Errorf("client %d wrote %d: %v", i, c.answered[i], err)
			}
			continue
		}
		var got int
		if _, err := fmt.Sscanf(x.Config.Hostname, "h%d", &got); err != nil || got < c.answered[i] || got > c.tried[i] {
			c.Errorf("%s has %q, answered were writes up to %d of %d", crashID(i), x.Config.Hostname, c.answered[i], c.tried[i])
		}
		c.answered[i] = got
	}
	c.follow(st)
}

// follow holds the feed against what was answered.
func (c *crash) follow(st *store.Store) {
	last, err := st.Revision(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	first := last
	for revision := range c.events {
		first = min(first, revision-1)
	}
	left := len(c.events)
	for e, err := range st.Watch(c.Context(), first) {
		if err != nil {
			c.Fatal(err)
		}
		if id, known := c.events[e.Revision]; known {
			if left--; e.ID != id {
				c.Errorf("revision %d was answered for %s, and is one of %s in the feed", e.Revision, id, e.ID)
			}
		}
		if e.Revision == last {
			break
		}
	}
	if left > 0 {
		c.Errorf("of the revisions that were answered %d are not in the feed", left)
	}
}
