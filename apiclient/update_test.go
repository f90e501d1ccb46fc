package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/models"
)

// resource is a server of one document, whose name somebody else changes too.
type resource struct {
	mu       sync.Mutex
	path     string
	name     string
	revision int
	rivals   int // writes that come between a read and a write of ours
	refuses  int // the status that writes get
	gone     bool
	puts     int
}

func (r *resource) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path != r.path || r.gone {
		refuse(w, http.StatusNotFound)
		return
	}
	if req.Method == http.MethodPut {
		r.puts++
		if r.refuses != 0 {
			refuse(w, r.refuses)
			return
		}
		if r.rivals > 0 {
			r.rivals--
			r.revision++
			r.name += "+"
		}
		if req.Header.Get("If-Match") != r.etag() {
			refuse(w, http.StatusPreconditionFailed)
			return
		}
		var doc struct{ Name string }
		if err := json.NewDecoder(req.Body).Decode(&doc); err != nil {
			refuse(w, http.StatusBadRequest)
			return
		}
		r.revision++
		r.name = doc.Name
	}
	w.Header().Set("ETag", r.etag())
	answer(w, http.StatusOK, "application/json", fmt.Sprintf(`{"name": %q}`, r.name))
}

func (r *resource) etag() string { return fmt.Sprintf(`"%d-%d"`, r.revision, r.revision) }

func refuse(w http.ResponseWriter, status int) {
	answer(w, status, problemType, fmt.Sprintf(`{"type": "about:blank", "title": %q, "status": %d, "detail": "no"}`, http.StatusText(status), status))
}

// TestUpdate: each kind of resource is changed on what somebody else made of it meanwhile.
func TestUpdate(t *testing.T) {
	ctx := t.Context()
	for path, update := range map[string]func(c *Client) (any, error){
		"/v1/executors/e": func(c *Client) (any, error) {
			return c.UpdateExecutor(ctx, "e", func(e *models.Executor) error { e.Name += "!"; return nil })
		},
		"/v1/networks/n": func(c *Client) (any, error) {
			return c.UpdateNetwork(ctx, "n", func(n *models.Network) error { n.Name += "!"; return nil })
		},
		"/v1/executors/e/sessions/s": func(c *Client) (any, error) {
			return c.UpdateSession(ctx, "e", "s", func(s *models.Session) error { s.Name += "!"; return nil })
		},
		"/v1/executors/e/execs/x": func(c *Client) (any, error) {
			return c.UpdateExec(ctx, "e", "x", func(x *models.Session) error { x.Name += "!"; return nil })
		},
		"/v1/executors/e/mounts/m": func(c *Client) (any, error) {
			return c.UpdateMount(ctx, "e", "m", func(m *models.Mount) error { m.Name += "!"; return nil })
		},
		"/v1/executors/e/networks/n": func(c *Client) (any, error) {
			return c.UpdateEndpoint(ctx, "e", "n", func(e *models.Endpoint) error { e.Name += "!"; return nil })
		},
	} {
		t.Run(path, func(t *testing.T) {
			r := &resource{path: path, revision: 7, rivals: 2, name: "a"}
			doc, err := update(serve(t, r.ServeHTTP))
			if err != nil {
				t.Fatal(Describe(err))
			}
			answered := reflect.ValueOf(doc).Elem().FieldByName("Name").String()
			if r.puts != 3 || r.name != "a++!" || answered != "a++!" {
				t.Errorf("answered %q, the server has %q after %d writes", answered, r.name, r.puts)
			}
		})
	}
}

func TestUpdateGivesUp(t *testing.T) {
	change := func(*models.Executor) error { return nil }

	r := &resource{path: "/v1/executors/e", name: "a"}
	c := serve(t, r.ServeHTTP)
	if _, err := c.UpdateExecutor(t.Context(), "other", change); !IsStatus(err, http.StatusNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	changeless := errors.New("it is as wanted")
	if _, err := c.UpdateExecutor(t.Context(), "e", func(*models.Executor) error { return changeless }); !errors.Is(err, changeless) || r.puts != 0 {
		t.Errorf("a change that was called off: %v after %d writes", err, r.puts)
	}
	r.refuses = http.StatusUnprocessableEntity
	if _, err := c.UpdateExecutor(t.Context(), "e", change); !IsStatus(err, http.StatusUnprocessableEntity) || r.puts != 1 {
		t.Errorf("a change that is refused: %v after %d writes", err, r.puts)
	}
	r.refuses, r.rivals = 0, 1<<30
	if _, err := c.UpdateExecutor(t.Context(), "e", func(*models.Executor) error { r.gone = r.puts > 3; return nil }); !IsStatus(err, http.StatusNotFound) {
		t.Errorf("what goes away meanwhile: %v", err)
	}
}

// TestUpdateEndsWithItsContext, also when it is the answer that finds it ended.
func TestUpdateEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &resource{path: "/v1/executors/e", rivals: 1 << 30}
	_, err := serve(t, r.ServeHTTP).UpdateExecutor(ctx, "e", func(*models.Executor) error {
		if r.puts == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || r.puts != 3 {
		t.Errorf("%v after %d writes", err, r.puts)
	}

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	_, err = update(ctx, func() (*models.Executor, string, error) {
		return new(models.Executor), `"1-1"`, nil
	}, func(*models.Executor) error { return nil }, func(*models.Executor, string) (*models.Executor, error) {
		cancel()
		return nil, executors.NewPutExecutorDefault(http.StatusPreconditionFailed)
	})
	if !errors.Is(err, context.Canceled) || IsStatus(err, http.StatusPreconditionFailed) {
		t.Error(err)
	}
}
