package handlers

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/auth"
)

// audit writes the line of a request that has one, once it is known what came of it. whole is false when the answer was cut off.
func (s *edge) audit(r *http.Request, rec *recorder, whole bool) {
	known, status := requestOf(r), cmp.Or(rec.status, http.StatusOK)
	if s.trail == nil || !audited(r.Method, known, status) {
		return
	}
	e, peer := &known.entry, auth.PeerIn(r.Context())
	e.Actor, e.Role = known.caller.Name, known.caller.RoleText()
	e.Source, e.Client = cmp.Or(peer.Address, r.RemoteAddr), cmp.Or(peer.Client, r.RemoteAddr)
	if e.Operation = known.operation; e.Operation == "" {
		e.Operation = s.operation(r)
	}
	e.Resource = cmp.Or(rec.Header().Get("Location"), r.URL.EscapedPath())
	e.Outcome = outcome(e, status, whole)
	e.Status, e.Request = status, known.id
	s.trail.Write(e)
}

// reading are the methods that change nothing.
var reading = []string{http.MethodGet, http.MethodHead, http.MethodOptions}

// audited reports whether a request has a line: if it was to change something, took all that there is, or was more than its caller may do.
func audited(method string, known *request, status int) bool {
	switch {
	case !slices.Contains(reading, method), known.operation == "getBackup":
		return true
	case known.caller.Role == auth.VM && !known.permitted:
		return status == http.StatusNotFound
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// outcome says what came of a request. A commit counts for more than the answer, which may have failed after it; a handler that does something
// without a commit has said what came of that.
func outcome(e *audit.Entry, status int, whole bool) audit.Outcome {
	switch {
	case e.After > 0:
		return audit.Done
	case !whole, status >= http.StatusInternalServerError:
		return audit.Failed
	case status >= http.StatusBadRequest:
		return audit.Refused
	}
	return cmp.Or(e.Outcome, audit.Unchanged)
}

// operation names what a request was meant for that did not come as far as its route: the operation, or the method where there is none.
func (s *edge) operation(r *http.Request) string {
	if route, ok := s.lookup(r); ok {
		return route.Operation.ID
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return r.Method
	}
	return "other"
}
