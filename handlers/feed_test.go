package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func (e *edgeTest) note(id string) {
	e.Helper()
	if err := e.store.Note(context.Background(), store.Event{Kind: store.KindVM, ID: id, Action: store.ActionPower}); err != nil {
		e.Fatal(err)
	}
}

// TestWatch: what is done is told as it happens, and again to who asks for it later, and no secret with it.
func TestWatch(t *testing.T) {
	inBubble(t, func(b *bubble) {
		now := b.watch(0, "")
		b.expect(201, "PUT", "/v1/networks/front", `{"gateway": "10.1.0.1/16", "annotations": {"a": "hunter2"}}`, nil)
		b.expect(201, "PUT", "/v1/executors/web", `{"name": "w", "notes": "hunter2", "key": "aHVudGVyMg==", "mounts": {"m": {"source": "nfs://u:hunter2@host/x", "path": "/m"}},
			"sessions": {"s": {}}, "networks": {"eth0": {"networkRef": "front"}}}`, nil)
		b.expect(201, "PUT", "/v1/executors/web/vm", `{"driver": "vsphere", "ref": "vm1", "agentKey": "aHVudGVyMg=="}`, nil)
		b.patch("/v1/executors/web", `{"key": "aHVudGVyMw==", "notes": "hunter3", "sessions": {"s": {"exitStatus": 137, "started": "true"}}, "annotations": {"a": "hunter2"}}`, nil)
		b.patch("/v1/networks/front", `{"nameservers": ["10.1.0.53"]}`, nil)
		b.expect(201, "PUT", "/v1/executors/db", `{}`, nil)
		b.expect(204, "DELETE", "/v1/executors/web", "", nil)
		b.patch("/v1/networks/front", `{"nameservers": []}`, nil)

		all := []string{
			"1 network front create", "2 executor web create", "3 vm web bind", "4 executor web update", "5 network front update", "6 executor db create",
			"7 executor web delete", "8 network front update",
		}
		now.expect(all[:3]...)
		e := now.expect(all[3])
		if got := fmt.Sprint(e.Name, " ", e.Fields, e.Values, e.Time.Equal(time.Now())); got != "w [annotations.a key notes sessions.s.exitStatus sessions.s.started] map[sessions.s.exitStatus:137 sessions.s.started:true] true" {
			b.Errorf("the update is told as %s", got)
		}
		if e = now.expect(all[4]); fmt.Sprint(e.Fields, e.Values) != "[nameservers] map[]" {
			b.Errorf("the network's is told as %+v", e)
		}
		now.expect(all[5:]...)
		now.heartbeat(8)

		for query, want := range map[string][]string{
			"?since=0":                                    all,
			"?since=5":                                    all[5:],
			"?since=8":                                    nil,
			"?since=0&kind=network":                       {all[0], all[4], all[7]},
			"?since=0&kind=network&kind=vm":               {all[0], all[2], all[4], all[7]},
			"?since=0&executor=web":                       {all[1], all[2], all[3], all[4], all[6]},
			"?since=4&executor=web":                       {all[4], all[6]},
			"?since=0&executor=web&kind=network":          {all[4]},
			"?since=0&executor=none&executor=db":          {all[5]},
			"?since=0&executor=none&kind=vm&heartbeat=5s": nil,
		} {
			since := uint64(0)
			_, _ = fmt.Sscanf(query, "?since=%d", &since)
			s := b.watch(since, query)
			s.expect(want...)
			s.heartbeat(8)
			s.resp.Body.Close()
		}
		again, text := b.watch(0, "?since=0"), ""
		for range all { // no secret, nor what only the store needs
			line, err := again.lines.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			text += line
		}
		for _, what := range []string{"hunter", "aHVudGVy", `"on"`, `"was"`} {
			if strings.Contains(text, what) || len(text) < 1000 {
				b.Errorf("%s is on the feed: %s", what, text)
			}
		}
	})
}

// TestHeartbeats come when nothing else does, at the time that was asked for, and tell that all was sent: also what is not for this client. The
// server's limits for other answers cut nothing off.
func TestHeartbeats(t *testing.T) {
	inBubble(t, func(b *bubble) {
		begun := time.Now()
		s := b.watch(0, "?heartbeat=90s&executor=web")
		for i := range uint64(10) {
			b.note("other")
			s.heartbeat(i + 1)
			if took := time.Since(begun); took != time.Duration(i+1)*90*time.Second {
				b.Errorf("heartbeat %d came after %s", i, took)
			}
		}
		b.passes(time.Minute)
		b.note("web")
		s.expect("11 vm web power")
		begun = time.Now()
		if s.heartbeat(11); time.Since(begun) != 90*time.Second {
			b.Errorf("after an event a heartbeat came after %s", time.Since(begun))
		}
	})
}

// TestAStalledReaderIsCut: after ten seconds in which it took nothing. Others are not delayed.
func TestAStalledReaderIsCut(t *testing.T) {
	inBubble(t, func(b *bubble) {
		begun := time.Now()
		stalled, healthy := b.watch(0, ""), b.watch(0, "?heartbeat=11s")
		for i := range uint64(1000) {
			b.note("web")
			healthy.expect(itoa(i+1) + " vm web power")
		}
		if time.Since(begun) != 0 {
			b.Errorf("a healthy reader waited %s", time.Since(begun))
		}
		b.metric("config_server_watches 2")
		healthy.heartbeat(1000)
		b.metric("config_server_watches 1", `config_server_watches_cut_total{reason="stalled"} 1`, `config_server_watches_cut_total{reason="behind"} 0`)
		if err := stalled.ended(); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Errorf("its stream ended with %v", err)
		}
		healthy.heartbeat(1000)
	})
}

// TestAReaderBehindTheHistoryIsCut, and told so when it comes back.
func TestAReaderBehindTheHistoryIsCut(t *testing.T) {
	inBubble(t, func(b *bubble) {
		slow := b.watch(0, "")
		for range 6000 { // the hub has 4096 of them, the engine 20
			b.note("web")
		}
		if err := slow.ended(); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Errorf("its stream ended with %v", err)
		}
		b.metric("config_server_watches 0", `config_server_watches_cut_total{reason="behind"} 1`)
		var gone struct {
			Status   int
			Revision uint64
		}
		b.expect(http.StatusGone, "GET", "/v1/watch?since=100", "", &gone)
		if gone.Status != http.StatusGone || gone.Revision != 6000 {
			b.Errorf("%+v", gone)
		}
	}, bolt.WithHistory(store.History{Commits: 20}))
}

// TestStreamsEndAtAShutdown: within a second, with whatever is under way, a reader that does not read too, and while others write.
func TestStreamsEndAtAShutdown(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.expect(201, "PUT", "/v1/executors/web", `{}`, nil)
		idle, busy, stalled := b.watch(1, "?executor=none"), b.watch(1, ""), b.watch(1, "")
		ends := make(chan error)
		for _, s := range []*streamTest{idle, busy} {
			go func() { ends <- s.ended() }()
		}
		waiting := make(chan int)
		go func() {
			resp := b.get(b.Context(), "/v1/executors/web?wait=5m&since=1")
			resp.Body.Close()
			waiting <- resp.StatusCode
		}()
		ctx, stopWriting := context.WithCancel(b.Context())
		written := make(chan struct{})
		go func() {
			defer close(written)
			tick := time.NewTicker(time.Millisecond) // or no time would pass
			defer tick.Stop()
			for ctx.Err() == nil {
				b.note("other")
				<-tick.C
			}
		}()
		for range 100 {
			b.note("other")
		}
		begun := time.Now()
		if err := b.server.Shutdown(b.Context()); err != nil {
			b.Error(err)
		}
		if took := time.Since(begun); took >= time.Second {
			b.Errorf("the shutdown took %s", took)
		}
		stopWriting()
		<-written
		for range 2 {
			if err := <-ends; !errors.Is(err, io.EOF) {
				b.Errorf("a stream ended with %v", err)
			}
		}
		if err := stalled.ended(); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Errorf("the stalled one ended with %v", err)
		}
		if status := <-waiting; status != http.StatusNotModified {
			b.Errorf("who waited was answered %d", status)
		}
		b.metric("config_server_watches 0", `config_server_watches_cut_total{reason="stalled"} 0`)
	})
}

// TestAClientThatLeaves leaves nothing behind.
func TestAClientThatLeaves(t *testing.T) {
	inBubble(t, func(b *bubble) {
		for range 3 {
			s := b.watch(0, "")
			s.resp.Body.Close()
			synctest.Wait()
			b.metric("config_server_watches 0")
		}
		ctx, leave := context.WithCancel(b.Context())
		resp := b.get(ctx, "/v1/watch")
		leave()
		resp.Body.Close()
		synctest.Wait()
		b.metric("config_server_watches 0")
	})
}

func TestWhatAWatchRefuses(t *testing.T) {
	e := newEdge(t)
	e.note("web")
	for query, field := range map[string]string{
		"since=2": "since", "since=18446744073709551615": "since", "since=18446744073709551616": "since", "since=-1": "since", "since=now": "since", "since=1&since=1": "since",
		"kind=session": "kind.0", "kind=vm&kind=VM": "kind.1", "executor=a%2Fb": "executor.0", "executor=" + strings.Repeat("a", 129): "executor.0",
		"executor=" + strings.Repeat("a&executor=", 100) + "a": "executor",
		"heartbeat=1ms": "heartbeat", "heartbeat=6m": "heartbeat", "heartbeat=15": "heartbeat", "heartbeat=-15s": "heartbeat",
		"heartbeat=1s&heartbeat=1s": "heartbeat", "kinds=vm": "kinds", "kind=": "kind", "executor=": "executor",
	} {
		e.refused(400, "GET", "/v1/watch?"+query, "", field)
	}
	e.expect(406, "GET", "/v1/watch", "", nil, "Accept", "application/json")
	e.expect(405, "POST", "/v1/watch", "{}", nil)
	if a := e.expect(200, "HEAD", "/v1/watch", "", nil, "Accept", "application/x-ndjson;q=0.1, application/json"); len(a.body) > 0 || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("HEAD is answered with %v %q", a.header, a.body)
	}
	e.expect(200, "GET", "/v1/watch?since=1", "", nil)
}

// metric wants lines of the metrics.
func (e *edgeTest) metric(lines ...string) {
	e.Helper()
	text := string(e.expect(200, "GET", "/metrics", "", nil).body)
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			e.Errorf("the metrics have no %s", line)
		}
	}
}
