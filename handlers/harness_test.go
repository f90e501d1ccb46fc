package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-openapi/loads"
	"github.com/go-openapi/spec"
	"github.com/go-openapi/strfmt"
	"github.com/go-openapi/validate"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/restapi"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/storetest"
	"github.com/vmexecutor/config-server/vm"
)

// edgeTest is the API on a real store, and a reconciler that nobody runs. Every answer is held against the specification.
type edgeTest struct {
	*testing.T
	handler    http.Handler
	metrics    *metrics.Metrics
	store      *store.Store
	reconciler *push.Reconciler
	log        *logBuffer
	trail      *audit.Trail
	audited    *logBuffer // the trail's lines
}

func newEdge(t *testing.T) *edgeTest {
	t.Helper()
	e := openEdge(t, t.TempDir(), nil)
	e.T = t
	return e
}

// openEdge makes one that lives longer than a test: its T is for each to set. Its streams end as soon as they have begun, and nobody waits for anything.
func openEdge(t testing.TB, dir string, drivers map[string]vm.Driver, options ...bolt.Option) *edgeTest {
	t.Helper()
	engine, err := bolt.Open(dir, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		storetest.Sound(t, engine)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	e := &edgeTest{log: &logBuffer{}, audited: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e.trail = audit.New(audit.Options{File: e.audited, Log: log})
	t.Cleanup(e.trail.Close)
	if e.store, err = store.New(engine, store.Options{Logger: log, Committed: e.trail.Committed}); err != nil {
		t.Fatal(err)
	}
	e.reconciler = push.New(push.Options{Store: e.store, Drivers: drivers, Logger: log})
	e.metrics = metrics.New(log)
	ended, end := context.WithCancel(context.Background())
	end()
	e.handler, err = New(Options{Store: e.store, Push: e.reconciler, Callers: administrators{}, Metrics: e.metrics, Audit: e.trail, Version: Version{Version: "test"}, Logger: log, Streams: ended})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// administrators are all callers, as at a server that tells none from another.
type administrators struct{}

func (administrators) Identify(*http.Request) (auth.Principal, error) {
	return auth.Principal{Name: "test", Role: auth.Admin}, nil
}

// logBuffer keeps what was logged, whoever did.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Reset forgets it.
func (l *logBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// answer is a response; its problem is set when it is a failure.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem struct {
		Type, Title, Detail, Instance string
		Status                        int
		Errors                        []struct{ Field, Message string }
	}
}

// do makes a request. Headers come in pairs; a body is JSON unless they say otherwise.
func (e *edgeTest) do(method, target, body string, headers ...string) *answer {
	e.Helper()
	r := httptest.NewRequestWithContext(e.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return e.serve(r)
}

// serve answers a request, and looks at what every answer must have.
func (e *edgeTest) serve(r *http.Request) *answer {
	e.Helper()
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(unlimited{w}, r)
	a := &answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
	e.conforms(r, a)
	if a.status >= 400 && r.Method != http.MethodHead {
		if got := a.header.Get("Content-Type"); got != problemMediaType {
			e.Errorf("%s %s: %d has Content-Type %q", r.Method, r.URL, a.status, got)
		}
		if err := json.Unmarshal(a.body, &a.problem); err != nil {
			e.Fatalf("%s %s: %d is no problem document: %s", r.Method, r.URL, a.status, a.body)
		}
		if a.problem.Status != a.status || a.problem.Title == "" || a.problem.Instance != "urn:request:"+a.header.Get("X-Request-Id") {
			e.Errorf("%s %s: %d %s", r.Method, r.URL, a.status, a.body)
		}
	}
	return a
}

// unlimited is an answer that takes as long as it takes.
type unlimited struct{ *httptest.ResponseRecorder }

func (unlimited) SetReadDeadline(time.Time) error  { return nil }
func (unlimited) SetWriteDeadline(time.Time) error { return nil }

// expect makes a request that must end with a status, and decodes the answer into v unless that is nil.
func (e *edgeTest) expect(status int, method, target, body string, v any, headers ...string) *answer {
	e.Helper()
	a := e.do(method, target, body, headers...)
	if a.status != status {
		e.Fatalf("%s %s: %d %s, want %d", method, target, a.status, a.body, status)
	}
	if v != nil {
		if err := json.Unmarshal(a.body, v); err != nil {
			e.Fatalf("%s %s: %v: %s", method, target, err, a.body)
		}
	}
	return a
}

// refused makes a request that must be refused for some fields, and for no other.
func (e *edgeTest) refused(status int, method, target, body string, fields ...string) *answer {
	e.Helper()
	a := e.expect(status, method, target, body, nil)
	var got []string
	for _, f := range a.problem.Errors {
		got = append(got, f.Field)
		if f.Message == "" {
			e.Errorf("%s %s: no message for %s", method, target, f.Field)
		}
	}
	if !slices.Equal(got, fields) {
		e.Errorf("%s %s %s: faults of %q, want %q: %s", method, target, body, got, fields, a.body)
	}
	return a
}

var specification = sync.OnceValue(func() *spec.Swagger {
	document, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		panic(err)
	}
	if document, err = document.Expanded(); err != nil {
		panic(err)
	}
	return document.Spec()
})

// operation finds what the specification says of a request.
func operation(r *http.Request) *spec.Operation {
	for pattern, item := range specification().Paths.Paths {
		if !matches(pattern, r.URL.EscapedPath()) {
			continue
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return item.Get
		case http.MethodPut:
			return item.Put
		case http.MethodPost:
			return item.Post
		case http.MethodPatch:
			return item.Patch
		case http.MethodDelete:
			return item.Delete
		}
	}
	return nil
}

func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

// conforms holds an answer against the specification: its status is foreseen, its headers are described, its body fits the schema.
func (e *edgeTest) conforms(r *http.Request, a *answer) {
	e.Helper()
	op := operation(r)
	if op == nil || r.Method == http.MethodHead {
		return // what no operation has is the edge's own answer
	}
	response, listed := op.Responses.StatusCodeResponses[a.status]
	if !listed {
		if a.status < 400 {
			e.Errorf("%s answered %d, which it does not describe", op.ID, a.status)
			return
		}
		response = *op.Responses.Default
	}
	for name := range response.Headers {
		if a.header.Get(name) == "" {
			e.Errorf("%s answered %d without %s", op.ID, a.status, name)
		}
	}
	if response.Schema == nil {
		if len(a.body) > 0 {
			e.Errorf("%s answered %d with a body: %s", op.ID, a.status, a.body)
		}
		return
	}
	if slices.Equal(op.Produces, []string{"application/octet-stream"}) && a.status < 400 {
		if got := a.header.Get("Content-Type"); got != op.Produces[0] || len(a.body) == 0 {
			e.Errorf("%s answered %d bytes of %s", op.ID, len(a.body), got)
		}
		return
	}
	if media, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || !strings.HasSuffix(media, "json") {
		e.Errorf("%s answered %s", op.ID, a.header.Get("Content-Type"))
		return
	}
	if response.Schema.Format == "binary" {
		for line := range bytes.Lines(a.body) {
			e.fits(op.ID+" "+strconv.Itoa(a.status), eventSchema(), line)
		}
		return
	}
	e.fits(op.ID+" "+strconv.Itoa(a.status), response.Schema, a.body)
}

// eventSchema is that of a line of the feed.
var eventSchema = sync.OnceValue(func() *spec.Schema {
	schema := specification().Definitions["Event"]
	return &schema
})

// fits holds a document against its schema.
func (e *edgeTest) fits(at string, schema *spec.Schema, text []byte) {
	e.Helper()
	var body any
	if err := json.Unmarshal(text, &body); err != nil {
		e.Errorf("%s answered %s", at, text)
		return
	}
	if result := validator(at, schema).Validate(body); result.HasErrors() {
		e.Errorf("%s answered what its schema does not allow: %v: %s", at, result.AsError(), text)
	}
	undescribed(e, at, schema, body)
}

// validators are those of the answers' schemas, by operation and status: making one takes longer than all else in a test.
var validators sync.Map

func validator(at string, schema *spec.Schema) *validate.SchemaValidator {
	if v, ok := validators.Load(at); ok {
		return v.(*validate.SchemaValidator)
	}
	v, _ := validators.LoadOrStore(at, validate.NewSchemaValidator(schema, nil, "", strfmt.Default))
	return v.(*validate.SchemaValidator)
}

// undescribed finds fields that the schema does not have: the schema itself would let them pass.
func undescribed(t *edgeTest, at string, schema *spec.Schema, body any) {
	t.Helper()
	switch body := body.(type) {
	case map[string]any:
		for name, value := range body {
			property, ok := schema.Properties[name]
			switch {
			case ok:
				undescribed(t, at+"."+name, &property, value)
			case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
				undescribed(t, at+"."+name, schema.AdditionalProperties.Schema, value)
			default:
				t.Errorf("%s.%s is not described", at, name)
			}
		}
	case []any:
		for i, value := range body {
			undescribed(t, at+"."+strconv.Itoa(i), schema.Items.Schema, value)
		}
	case nil:
		t.Errorf("%s is null", at)
	}
}

func discardTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
