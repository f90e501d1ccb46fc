package handlers

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/apiclient"
)

// clientTest is the generated client at the API, over a real connection. Answers are held against the specification as all are.
type clientTest struct {
	*edgeTest
	*apiclient.Client
	mu    sync.Mutex
	heard []string // operations that succeeded since it was last asked
}

func newClientTest(t *testing.T) *clientTest {
	t.Helper()
	c := &clientTest{edgeTest: newEdge(t)}
	c.runReconciler(t)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	var err error
	if c.Client, err = apiclient.New(server.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP answers, and notes which operation it was that succeeded.
func (c *clientTest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := c.serve(r)
	if op := operation(r); op != nil && a.status < 400 {
		c.mu.Lock()
		c.heard = append(c.heard, op.ID)
		c.mu.Unlock()
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that does not read is the test's failure, not the server's
}

// succeeded are the operations that did since the last time.
func (c *clientTest) succeeded() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	heard := c.heard
	c.heard = nil
	return heard
}

// clientCall is one call of an operation by its method of the generated client; an error says what was wrong with the answer.
type clientCall struct {
	operation string
	call      func() error
}

// TestEveryOperationThroughTheClient calls each operation of the specification by the generated client, in the order that a client would, and
// fails when one is missing here.
func TestEveryOperationThroughTheClient(t *testing.T) {
	c := newClientTest(t)
	called := map[string]bool{}
	for _, calls := range [][]clientCall{
		c.systemCalls(), c.networkCalls(), c.executorCalls(), c.sessionCalls(), c.execCalls(), c.mountCalls(), c.endpointCalls(), c.vmCalls(), c.feedCalls(), c.removals(),
	} {
		for _, call := range calls {
			if err := call.call(); err != nil {
				t.Errorf("%s: %s", call.operation, apiclient.Describe(err))
			}
			if heard := c.succeeded(); !slices.Equal(heard, []string{call.operation}) {
				t.Errorf("the call of %s made %q", call.operation, heard)
			}
			called[call.operation] = true
		}
	}
	for _, operation := range operationIDs() {
		if !called[operation] {
			t.Errorf("%s is not called", operation)
		}
	}
}

func operationIDs() (ids []string) {
	for _, item := range specification().Paths.Paths {
		for _, op := range operationsOf(item) {
			ids = append(ids, op.ID)
		}
	}
	return ids
}

// patch is the body of one.
func (c *clientTest) patch(changes map[string]any) json.RawMessage {
	body, err := apiclient.MergePatch(changes)
	if err != nil {
		c.Fatal(err)
	}
	return body
}

// errAnswer is an answer that is not what the call should have.
var errAnswer = errors.New("the answer is another than it should be")

// answered looks at an answer once there is one.
func answered(err error, is func() bool) error {
	if err == nil && !is() {
		return errAnswer
	}
	return err
}
