package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-openapi/runtime/middleware"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/store"
)

// Callers knows who makes a request: auth.Callers does. Errors are auth.ErrUnauthenticated and auth.ErrForbidden.
type Callers interface {
	Identify(*http.Request) (auth.Principal, error)
}

// executorPattern begins the paths of what is one executor's.
const executorPattern = "/v1/executors/{id}"

// identify learns who is calling, before anything about a path is said, other than about those that need no credentials. What follows
// finds the caller in the request's context (auth.PrincipalOf), and the store notes the name with each change.
func (s *edge) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.public(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		p, err := s.callers.Identify(r)
		if err != nil {
			s.serve(w, r, err)
			return
		}
		known := requestOf(r)
		known.caller, known.identify = p, func() (auth.Principal, error) { return s.callers.Identify(r) }
		next.ServeHTTP(w, r.WithContext(auth.WithPrincipal(store.WithActor(r.Context(), p.Name), p)))
	})
}

// public reports whether a path is one of those that need no credentials: all that is there is the same for everybody.
func (s *edge) public(path string) bool {
	return path == healthPath || path == readyPath || path == specPath || s.docs.has(path)
}

// permit lets a caller have the operations that the table of package auth gives it, before anything about the resource is
// looked at. It is the first to know the route.
func (s *edge) permit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, known := middleware.MatchedRouteFrom(r), requestOf(r)
		known.route = route.PathPattern
		operation, executor := route.Operation.ID, ""
		if strings.HasPrefix(route.PathPattern, executorPattern) {
			executor = route.Params.Get("id")
		}
		if err := known.permit(operation, executor); err != nil {
			s.serve(w, r, err)
			return
		}
		if known.caller.Role == auth.VM {
			if faults := guestQuery(operation, r); len(faults) > 0 {
				s.serve(w, r, &deniedError{faults})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// permit notes that the caller may have an operation, or says that it may not.
func (known *request) permit(operation, executor string) error {
	known.operation = operation
	if known.permitted = known.caller.May(operation, executor); !known.permitted {
		return fmt.Errorf("%w: the role %s does not have the operation %s", auth.ErrForbidden, known.caller.Role, operation)
	}
	return nil
}

// revoked says why the caller is to be told no more: what it showed counts for nothing since, or for another caller. Whatever is told long after a request came asks this first.
func (known *request) revoked() error {
	p, err := known.identify()
	if err == nil && p != known.caller {
		err = fmt.Errorf("%w: the role or the name has changed", auth.ErrUnauthenticated)
	}
	return err
}

// errNothing is all that a VM's guest learns of what is not its own, whether there is something or not.
var errNothing = fmt.Errorf("there is nothing at this path for this caller: %w", store.ErrNotFound)

// told is what a caller may hear of an error. A guest hears one word of everything that it has not, be it forbidden, not there, or no
// operation at all: the answers do not differ. What failed by itself is logged in any case.
func told(r *http.Request, err error) error {
	known := requestOf(r)
	if known.caller.Role != auth.VM {
		return err
	}
	switch status := problemOf(err).Status; {
	case status >= http.StatusInternalServerError:
		return err
	case !known.permitted, status == http.StatusNotFound:
		return errNothing
	}
	return err
}

// challenge says how to show who one is (RFC 6750, section 3).
func challenge(err error) string {
	if errors.Is(err, auth.ErrBadToken) {
		return `Bearer realm="config-server", error="invalid_token"`
	}
	return `Bearer realm="config-server"`
}
