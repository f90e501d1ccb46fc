package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// opinion is a second one on all that the tests say to the real binary and hear from it: a transport that holds requests and
// answers against the specification which the binary serves, by a library that shares no code with the server. Whatever
// the server accepts must be allowed, and whatever it answers must be described.
type opinion struct {
	testing.TB
	document *openapi3.T
	router   routers.Router
	mu       sync.Mutex
	seen     map[string]bool // operations that succeeded
}

// newOpinion reads the specification from a server.
func newOpinion(t testing.TB, api string) *opinion {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/swagger.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := converted(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return &opinion{TB: t, document: document, router: router, seen: map[string]bool{}}
}

// converted is a Swagger 2.0 document as one of OpenAPI 3, found valid.
func converted(ctx context.Context, text []byte) (*openapi3.T, error) {
	var two openapi2.T
	if err := json.Unmarshal(text, &two); err != nil {
		return nil, err
	}
	document, err := openapi2conv.ToV3(&two)
	if err != nil {
		return nil, err
	}
	document.Servers = nil // any: tests pick free ports
	for _, response := range document.Components.Responses {
		problemContent(response)
	}
	for _, item := range document.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				problemContent(response)
			}
		}
	}
	return document, document.Validate(ctx)
}

// problemContent gives problem documents their media type: Swagger 2.0 has one list of them for all answers of an operation.
func problemContent(response *openapi3.ResponseRef) {
	for media, content := range response.Value.Content {
		if content.Schema.Ref == "#/components/schemas/Problem" {
			delete(response.Value.Content, media)
			response.Value.Content["application/problem+json"] = content
		}
	}
}

// RoundTrip makes the request and gives its opinion.
func (o *opinion) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	input, err := o.input(r)
	if err == nil && resp.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			o.Errorf("%s %s was answered %d, and must not be accepted: %v", r.Method, r.URL, resp.StatusCode, err)
		}
		o.mu.Lock()
		o.seen[input.Route.Operation.OperationID] = true
		o.mu.Unlock()
	}
	if resp.Header.Get("Content-Type") == "application/x-ndjson" {
		resp.Body = &eventLines{ReadCloser: resp.Body, opinion: o} // it has no end
		return resp, nil
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(resp.Body)
	if readErr != nil {
		return nil, readErr
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return resp, nil //nolint:nilerr // no operation: the edge's own answer
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer.SetBodyBytes(body)); err != nil {
		o.Errorf("%s %s was answered what is not described: %v", r.Method, r.URL, err)
	}
	return resp, nil
}

// eventLines is a stream of events, each of which is held against the specification when it is read.
type eventLines struct {
	io.ReadCloser
	opinion *opinion
	line    []byte // the beginning of one
}

func (l *eventLines) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.line = append(l.line, p[:n]...)
	for {
		line, rest, whole := bytes.Cut(l.line, []byte("\n"))
		if !whole {
			return n, err
		}
		var event any
		invalid := json.Unmarshal(line, &event)
		if invalid == nil {
			invalid = l.opinion.document.Components.Schemas["Event"].Value.VisitJSON(event)
		}
		if invalid != nil {
			l.opinion.Errorf("the feed has what is not described: %v: %s", invalid, line)
		}
		l.line = rest
	}
}

// operations are the ids of all.
func (o *opinion) operations() (ids []string) {
	for _, item := range o.document.Paths.Map() {
		for _, operation := range item.Operations() {
			ids = append(ids, operation.OperationID)
		}
	}
	return ids
}

// allowed says why a request is not, going by the specification alone.
func (o *opinion) allowed(r *http.Request) error {
	input, err := o.input(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), input)
}

// input finds a request's operation. The request itself may have been sent already.
func (o *opinion) input(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		var err error
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	route, params, err := o.router.FindRoute(again)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
	}
	return &openapi3filter.RequestValidationInput{
		// Who calls is not its to judge.
		Request: again, PathParams: params, Route: route, Options: &openapi3filter.Options{SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}, nil
}
