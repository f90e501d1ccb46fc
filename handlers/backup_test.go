package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/memory"
)

// TestBackup: what comes is a store that holds what the server does.
func TestBackup(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "PUT", "/v1/executors/web", `{"hostname": "web"}`, nil)
	a := e.expect(200, "GET", "/v1/backup", "", nil)
	if got := a.header.Get("Content-Length"); got != strconv.Itoa(len(a.body)) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d bytes with %v", len(a.body), a.header)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, a.body, 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := bolt.Verify(file); err != nil || info.Revision != 1 {
		t.Errorf("%+v %v", info, err)
	}
	e.expect(405, "DELETE", "/v1/backup", "", nil)
}

// deaf is a client that goes away within an answer.
type deaf struct {
	*httptest.ResponseRecorder
	left int
}

func (d *deaf) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errors.New("the client has gone")
	}
	return d.ResponseRecorder.Write(b)
}

// TestABackupThatBreaksOff is no answer that looks whole.
func TestABackupThatBreaksOff(t *testing.T) {
	e := newEdge(t)
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the very value, by the contract of net/http
			t.Errorf("it ended with %v", v)
		}
		if !strings.Contains(e.log.String(), "not taken whole") {
			t.Errorf("the log has %s", e.log)
		}
	}()
	e.handler.ServeHTTP(&deaf{httptest.NewRecorder(), 1000}, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/backup", http.NoBody))
}

// troubled is an engine whose commits fail.
type troubled struct {
	store.Engine
	err error
}

func (e *troubled) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	if e.err != nil {
		return 0, e.err
	}
	return e.Engine.Commit(ctx, t)
}

// edgeOn is the API on an engine.
func edgeOn(t *testing.T, engine store.Engine) *edgeTest {
	t.Helper()
	e := &edgeTest{T: t, log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(e.log, nil))
	var err error
	if e.store, err = store.New(engine, store.Options{}); err != nil {
		t.Fatal(err)
	}
	e.handler, err = New(Options{Store: e.store, Callers: administrators{}, Push: push.New(push.Options{Store: e.store, Logger: log}), Metrics: metrics.New(log), Audit: audit.New(audit.Options{Log: log}), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestNoRoom: a disk that is full is 507 for who writes, and nothing for who reads.
func TestNoRoom(t *testing.T) {
	engine := &troubled{Engine: memory.New(store.DefaultHistory)}
	e := edgeOn(t, engine)
	e.expect(201, "PUT", "/v1/executors/web", `{"hostname": "web"}`, nil)
	engine.err = errors.Join(store.ErrNoSpace)
	for _, method := range []string{"PUT", "DELETE"} {
		if a := e.expect(507, method, "/v1/executors/web", map[string]string{"PUT": `{}`}[method], nil); !strings.Contains(a.problem.Detail, "no room") {
			t.Errorf("%s", a.body)
		}
	}
	e.expect(200, "GET", "/v1/executors/web", "", nil)
	e.expect(200, "PUT", "/v1/executors/web", `{"hostname": "web"}`, nil) // which changes nothing
	engine.err = nil
	e.expect(204, "DELETE", "/v1/executors/web", "", nil)
}

func TestNoBackupOfMemory(t *testing.T) {
	edgeOn(t, memory.New(store.DefaultHistory)).expect(501, "GET", "/v1/backup", "", nil)
}
