package apiclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/client/executors"
)

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, body string
		status                  int
		describe                string // begins so
		problem                 bool
	}{
		{
			name: "declared for the operation", status: 404, contentType: problemType, problem: true,
			body:     `{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no executor web"}`,
			describe: "Not Found: there is no executor web",
		},
		{
			name: "any other", status: 500, contentType: problemType, problem: true,
			body:     `{"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": "see the log at 7"}`,
			describe: "Internal Server Error: see the log at 7",
		},
		{
			name: "with fields", status: 400, contentType: problemType + "; charset=utf-8", problem: true,
			body: `{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "x", "errors": [
				{"field": "a.b", "message": "must be a number"}, {"field": "", "message": "must be an object"}]}`,
			describe: "Bad Request: a.b must be a number; must be an object",
		},
		{
			name: "without detail", status: 503, contentType: problemType, problem: true,
			body: `{"type": "about:blank", "title": "Service Unavailable", "status": 503}`, describe: "Service Unavailable",
		},
		{name: "not ours", status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>"},
		{name: "cut off", status: 404, contentType: problemType, body: `{"title": "Not`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, tc.status, tc.contentType, tc.body) })
			_, err := c.Executors.GetExecutorContext(t.Context(), executors.NewGetExecutorParams().WithID("web"))
			if err == nil {
				t.Fatal("there is no error")
			}
			err = fmt.Errorf("inspect: %w", err)
			if p := Problem(err); (p != nil) != tc.problem {
				t.Errorf("the problem is %+v", p)
			}
			if IsStatus(err, tc.status) != tc.problem || IsStatus(err, 418) {
				t.Errorf("IsStatus is wrong for %v", err)
			}
			if got := Describe(err); got == "" || tc.problem && got != tc.describe {
				t.Errorf("described as %q, want %q", got, tc.describe)
			}
		})
	}
}

func TestErrorsThatAreNoProblems(t *testing.T) {
	if Problem(nil) != nil || IsStatus(nil, 404) || Describe(nil) != "" {
		t.Error("no error is something")
	}
	err := errors.New("it is night")
	if Problem(err) != nil || IsStatus(err, 404) || Describe(err) != "it is night" {
		t.Error("another error is a problem")
	}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	_, err = server.Executors.GetExecutorContext(t.Context(), executors.NewGetExecutorParams().WithID("web").WithIfNoneMatch(new(`"1-1"`)))
	if !IsStatus(err, http.StatusNotModified) || Problem(err) != nil {
		t.Errorf("not modified is %v", err)
	}
	unreachable, err := New("unix:///nowhere/at/all.sock")
	if err != nil {
		t.Fatal(err)
	}
	_, err = unreachable.Executors.GetExecutorContext(t.Context(), executors.NewGetExecutorParams().WithID("web"))
	if err == nil || Problem(err) != nil || !strings.Contains(Describe(err), "/nowhere/at/all.sock") {
		t.Errorf("a server that is not there is %v", err)
	}
}
