package handlers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/store/bolt"
)

// TestWatchersThroughItAll: for some minutes clients write, others watch, some of whom break off at random and go on where they were, one does not read at
// all, and the file is compacted meanwhile; then the server stops. Whoever reads is told each revision, once, in order.
func TestWatchersThroughItAll(t *testing.T) {
	const watchers, writers, each = 8, 4, 150
	const last = writers * each
	var log bytes.Buffer
	inBubble(t, func(b *bubble) {
		stalled := b.watch(0, "")
		var watching, writing sync.WaitGroup
		var arrived atomic.Int64
		for i := range watchers {
			watching.Go(func() {
				at := uint64(0)
				for at < last {
					stint := uint64(last)
					if i%2 == 1 {
						stint = 1 + rand.Uint64N(40)
					}
					at = b.stint(at, min(last, at+stint), last, &arrived)
				}
			})
		}
		for w := range writers {
			writing.Go(func() {
				turns := time.NewTicker(time.Second)
				defer turns.Stop()
				for i := range each {
					status := http.StatusOK
					if i < 10 {
						status = http.StatusCreated
					}
					notes := "" // ten executors each, which all become large, and then all small
					if i/10%2 == 0 {
						notes = strings.Repeat("n", 60_000)
					}
					b.expect(status, "PUT", fmt.Sprintf("/v1/executors/w%d-%d", w, i%10), fmt.Sprintf(`{"hostname": "h%d", "notes": %q}`, i, notes), nil)
					<-turns.C
				}
			})
		}
		writing.Wait()
		synctest.Wait()
		if n := arrived.Load(); n != watchers {
			b.Errorf("of %d watchers %d were told all", watchers, n)
		}
		if err := b.server.Shutdown(b.Context()); err != nil {
			b.Error(err)
		}
		watching.Wait()
		if err := stalled.ended(); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Errorf("the stalled one ended with %v", err)
		}
		b.metric("config_server_watches 0", `config_server_watches_cut_total{reason="stalled"} 1`, `config_server_watches_cut_total{reason="behind"} 0`)
	}, bolt.WithCompaction(1<<20), bolt.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if n := strings.Count(log.String(), "the store was compacted"); n < 2 {
		t.Errorf("the store was compacted %d times: %s", n, &log)
	}
}

// stint is a watch from one revision to another, each of which must come in its turn. The one that has the last stays until the server ends it.
func (b *bubble) stint(at, to, last uint64, arrived *atomic.Int64) uint64 {
	resp := b.get(b.Context(), fmt.Sprintf("/v1/watch?since=%d", at))
	defer resp.Body.Close()
	s := &streamTest{b, resp, bufio.NewReader(resp.Body)}
	for at < to {
		e := s.next()
		if e.Action == actionHeartbeat {
			continue
		}
		if at++; e.Revision != at {
			b.Errorf("after revision %d comes %d", at-1, e.Revision)
			return last
		}
	}
	if at == last {
		arrived.Add(1)
		if err := s.ended(); !errors.Is(err, io.EOF) {
			b.Errorf("a stream ended with %v", err)
		}
	}
	return at
}
