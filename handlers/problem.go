package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	apierrors "github.com/go-openapi/errors"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
)

// problemMediaType is that of every error (RFC 9457).
const problemMediaType = "application/problem+json"

// kinds says which status a kind of error has, and which problem type where the status alone leaves a client guessing.
var kinds = []struct {
	err    error
	status int
	typ    string
}{
	{auth.ErrUnauthenticated, http.StatusUnauthorized, ""},
	{auth.ErrForbidden, http.StatusForbidden, ""},
	{errCrowded, http.StatusTooManyRequests, ""},
	{errSlowBody, http.StatusRequestTimeout, ""},
	{errLongHeader, http.StatusRequestHeaderFieldsTooLarge, ""},
	{store.ErrNotFound, http.StatusNotFound, ""},
	{store.ErrExists, http.StatusConflict, "exists"},
	{store.ErrSecrets, http.StatusForbidden, "holds-secrets"},
	{store.ErrInUse, http.StatusConflict, "in-use"},
	{store.ErrClaimed, http.StatusConflict, "vm-claimed"},
	{store.ErrNameTaken, http.StatusConflict, "name-taken"},
	{store.ErrAddressTaken, http.StatusConflict, "address-taken"},
	{store.ErrExpired, http.StatusGone, ""},
	{store.ErrPrecondition, http.StatusPreconditionFailed, ""},
	{store.ErrUnbound, http.StatusConflict, "unbound"},
	{store.ErrNoSpace, http.StatusInsufficientStorage, ""},
	{store.ErrNoBackup, http.StatusNotImplemented, ""},
	{store.ErrClosed, http.StatusServiceUnavailable, ""},
	{push.ErrStopped, http.StatusServiceUnavailable, ""},
	{context.Canceled, http.StatusServiceUnavailable, ""},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, ""},
}

// problemTypes is the prefix of the problem types that have a name of their own.
const problemTypes = "urn:config-server:problem:"

// problems turns every failure into a problem document: those of handlers, and the router's and the validator's own.
type problems struct{ log *slog.Logger }

// serve answers with what err means. It implements ServeError of the generated API.
func (p problems) serve(w http.ResponseWriter, r *http.Request, err error) {
	err = told(r, err)
	problem := problemOf(err)
	problem.Instance = requestURN(r)
	if problem.Status == http.StatusInternalServerError {
		p.log.Error("request failed", "request", requestID(r), "method", r.Method, "path", r.URL.Path, "error", err)
		problem.Detail = "The server's log has the reason, under request " + requestID(r) + "."
	}
	switch problem.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", challenge(err))
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	if refused, ok := errors.AsType[*apierrors.MethodNotAllowedError](err); ok {
		w.Header().Set("Allow", allow(refused.Allowed))
	}
	if stale, ok := errors.AsType[*store.PreconditionError](err); ok && !stale.Missing {
		w.Header().Set("ETag", etag(stale.Current))
	}
	w.Header().Set("Content-Type", problemMediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(int(problem.Status))
	_ = plainJSON.Produce(w, problem) // it always marshals
}

// problemOf says what an error is to a client.
func problemOf(err error) *models.Problem {
	if faults, ok := errors.AsType[executor.Faults](err); ok {
		return invalid(faults)
	}
	if e, ok := errors.AsType[*push.VMError](err); ok {
		return problem(http.StatusConflict, "vm-unavailable", e.Error())
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.problem()
	}
	if e, ok := errors.AsType[*deniedError](err); ok {
		return e.problem()
	}
	for parameter, err2 := range map[string]error{"continue": store.ErrContinue, "limit": store.ErrTooLong, "since": store.ErrFuture} {
		if errors.Is(err, err2) {
			return (&requestError{executor.Faults{{Field: parameter, Message: err2.Error()}}}).problem()
		}
	}
	if e, ok := errors.AsType[*store.CompactedError](err); ok {
		p := problem(http.StatusGone, "", e.Error())
		p.Revision = &e.Revision
		return p
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return problem(k.status, k.typ, err.Error())
		}
	}
	if refused, ok := refusal(err); ok {
		return refused
	}
	return problem(http.StatusInternalServerError, "", "")
}

func problem(status int, typ, detail string) *models.Problem {
	p := &models.Problem{Type: "about:blank", Title: http.StatusText(status), Status: int64(status), Detail: sentence(detail)}
	if typ != "" {
		p.Type = problemTypes + typ
	}
	return p
}

// requestError is a fault of a request's query or headers.
type requestError struct{ faults executor.Faults }

func (e *requestError) Error() string { return e.faults.Error() }

func (e *requestError) problem() *models.Problem {
	p := problem(http.StatusBadRequest, "", "the request is not valid: "+e.Error())
	p.Errors = fieldErrors(e.faults)
	return p
}

// invalid lists the faults of a document.
func invalid(faults executor.Faults) *models.Problem {
	p := problem(http.StatusUnprocessableEntity, "", "the document is not valid: "+faults.Error())
	p.Errors = fieldErrors(faults)
	return p
}

// maxFaults is how many faults an answer lists: a document may have one in every few bytes.
const maxFaults = 100

// fieldErrors lists faults. Of more than maxFaults, the last entry says how many there are beside the others.
func fieldErrors(faults executor.Faults) []*models.FieldError {
	listed := faults[:min(len(faults), maxFaults)]
	list := make([]*models.FieldError, len(listed))
	for i, f := range listed {
		f = f.Short()
		list[i] = &models.FieldError{Field: f.Field, Message: f.Message}
	}
	if more := len(faults) - len(listed); more > 0 {
		list = append(list, &models.FieldError{Message: fmt.Sprintf("%d more faults are not listed", more)})
	}
	return list
}

// sentence makes an error's text one.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if first, _, _ := strings.Cut(s, " "); first == strings.ToLower(first) { // vSphere is written so
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
