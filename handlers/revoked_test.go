package handlers

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/auth"
)

// revokedTest is a bubble whose callers have tokens, while the test itself changes what there is.
type revokedTest struct {
	*bubble
	file  string
	shown map[string]string // Authorization, by name
}

func inRevocableBubble(t *testing.T, test func(r *revokedTest), names ...string) {
	inBubble(t, func(b *bubble) {
		r := &revokedTest{b, filepath.Join(b.TempDir(), "tokens"), map[string]string{}}
		for _, name := range names {
			token, err := auth.NewToken(r.file, auth.Principal{Name: name, Role: auth.Operator})
			if err != nil {
				b.Fatal(err)
			}
			r.shown[name] = "Bearer " + token
		}
		callers, err := auth.Open(auth.Options{TokenFile: r.file, Logger: discardTo(b.log)})
		if err != nil {
			b.Fatal(err)
		}
		b.server.Handler, err = New(Options{Callers: callers, Store: b.store, Push: b.reconciler, Metrics: b.metrics, Audit: b.trail, Logger: discardTo(b.log)})
		if err != nil {
			b.Fatal(err)
		}
		test(r)
	})
}

// edit changes the line of a token: no text removes it.
func (r *revokedTest) edit(name, role string) {
	r.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.Fatal(err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		switch fields := strings.Fields(line); {
		case fields[0] != name:
			lines.WriteString(line)
		case role != "":
			lines.WriteString(strings.Join([]string{name, role, fields[2]}, " ") + "\n")
		}
	}
	if err := os.WriteFile(r.file+".new", []byte(lines.String()), 0o600); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(r.file+".new", r.file); err != nil {
		r.Fatal(err)
	}
}

// watch opens a stream of one of the callers.
func (r *revokedTest) watch(name string) *streamTest {
	r.Helper()
	resp := r.get(r.Context(), "/v1/watch", "Authorization", r.shown[name]) //nolint:bodyclose // it is read until the bubble ends
	s := &streamTest{r.bubble, resp, bufio.NewReader(resp.Body)}
	s.heartbeat(1)
	return s
}

// cut wants a stream to end without another line.
func (r *revokedTest) cut(s *streamTest) {
	r.Helper()
	if line, err := s.lines.ReadBytes('\n'); len(line) > 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		r.Errorf("got %q, and %v", line, err)
	}
}

// TestRevokedStreams: whose token was removed, or given to another role, is told of nothing that happens after it, and its stream ends with
// the next event or heartbeat. Others go on.
func TestRevokedStreams(t *testing.T) {
	inRevocableBubble(t, func(r *revokedTest) {
		r.expect(201, "PUT", "/v1/executors/web", `{}`, nil)
		stays, removed, changed, idle := r.watch("stays"), r.watch("removed"), r.watch("changed"), r.watch("idle")
		r.edit("removed", "")
		r.edit("changed", "viewer")
		r.patch("/v1/executors/web", `{"hostname": "h1"}`, nil)
		r.cut(removed)
		r.cut(changed)
		stays.expect("2 executor web update")
		idle.expect("2 executor web update")
		r.metric("config_server_watches 2", `config_server_watches_cut_total{reason="revoked"} 2`)

		begun := time.Now()
		r.edit("idle", "")
		r.cut(idle)
		if took := time.Since(begun); took != 15*time.Second {
			r.Errorf("an idle stream ended after %s", took)
		}
		stays.heartbeat(2)
		if resp := r.get(r.Context(), "/v1/watch", "Authorization", r.shown["removed"]); resp.StatusCode != 401 {
			r.Errorf("who comes back is answered %d", resp.StatusCode)
		} else {
			resp.Body.Close()
		}
	}, "stays", "removed", "changed", "idle")
}

// TestRevokedWaiters hear no news, and no more than that when their time is over.
func TestRevokedWaiters(t *testing.T) {
	inRevocableBubble(t, func(r *revokedTest) {
		r.expect(201, "PUT", "/v1/executors/web", `{}`, nil)
		const target = "/v1/executors/web?since=1&wait="
		stays, removed := r.wait(target+"5m", "Authorization", r.shown["stays"]), r.wait(target+"5m", "Authorization", r.shown["removed"])
		changed, over := r.wait(target+"5m", "Authorization", r.shown["changed"]), r.wait(target+"30s", "Authorization", r.shown["removed"])
		r.edit("removed", "")
		r.edit("changed", "viewer")
		if got := <-over; got.status != 401 || got.took != 30*time.Second {
			r.Errorf("when the time is over: %+v", got)
		}
		r.patch("/v1/executors/web", `{"hostname": "h1"}`, nil)
		synctest.Wait()
		for name, answered := range map[string]<-chan late{"removed": removed, "changed": changed} {
			if got := <-answered; got.status != 401 || got.etag != "" {
				r.Errorf("%s: %+v", name, got)
			}
		}
		if got := <-stays; got.status != 200 {
			r.Errorf("another is answered %+v", got)
		}
	}, "stays", "removed", "changed")
}
