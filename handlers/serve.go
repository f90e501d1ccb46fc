package handlers

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/runtime"
	"github.com/go-openapi/runtime/middleware"
	"github.com/go-openapi/runtime/server-middleware/negotiate"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/restapi"
	"github.com/vmexecutor/config-server/restapi/operations"
)

// The paths beside the API, and beside docsPath; and those of the API that need no credentials.
const (
	specPath    = "/swagger.json"
	metricsPath = "/metrics"
	healthPath  = "/healthz"
	readyPath   = "/readyz"
)

// serve puts around the API what the generated code leaves out: request ids, a log and metrics, an answer when a handler
// panics, bounds, who is calling and what they may do, strictness in paths and queries, HEAD and OPTIONS, the specification
// and its documentation.
func serve(api *operations.ConfigAPI, o Options) http.Handler {
	s := &edge{problems: problems{o.Logger}, docs: newDocs(), metrics: o.Metrics, trail: o.Audit, callers: o.Callers, shares: newShares(o.Bounds)}
	api.Middleware = func(b middleware.Builder) http.Handler { return api.Context().RoutesHandler(b) }
	s.routes = api.Serve(func(next http.Handler) http.Handler { return s.permit(s.acceptable(s.strict(s.share(next)))) })
	s.allowed = func(r *http.Request) []string { return api.Context().AllowedMethods(r) }
	s.lookup = func(r *http.Request) (*middleware.MatchedRoute, bool) { return api.Context().LookupRoute(r) }
	return s.observe(s.bound(s.identify(http.HandlerFunc(s.route))))
}

// edge is the outer half of the API's handler.
type edge struct {
	problems
	docs    *docs
	metrics *metrics.Metrics
	trail   *audit.Trail
	callers Callers
	shares  *shares
	routes  http.Handler
	allowed func(*http.Request) []string // methods of the path, other than the request's
	lookup  func(*http.Request) (*middleware.MatchedRoute, bool)
}

func (s *edge) route(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); p != path.Clean(p) {
		s.serve(w, r, apierrors.NotFound("there is nothing at this path: it is not in its shortest form"))
		return
	}
	switch {
	case r.URL.Path == specPath:
		s.file(w, r, auth.Documentation, specPath, swaggerJSON)
		return
	case r.URL.Path == metricsPath:
		s.file(w, r, auth.Metrics, metricsPath, s.metrics.Handler())
		return
	case s.docs.has(r.URL.Path):
		s.file(w, r, auth.Documentation, docsPath, s.docs)
		return
	case r.Method == http.MethodOptions && requestOf(r).caller.Role != auth.VM: // which finds out nothing
		if methods := s.allowed(r); len(methods) > 0 {
			w.Header().Set("Allow", allow(methods))
			w.WriteHeader(http.StatusNoContent)
			return
		}
	case r.Method == http.MethodHead: // net/http leaves out the body
		get := *r
		get.Method = http.MethodGet
		r = &get
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.shares.Body)
	s.routes.ServeHTTP(w, r)
}

// swaggerJSON serves swagger.yml as JSON. That a token may be shown is said here, for Swagger UI and clients: said in swagger.yml, it
// would put a principal into every generated signature, which nobody here needs.
var swaggerJSON = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(servedSpec)
})

// servedSpec is swagger.yml with a token as what may be shown, and need not be.
var servedSpec = append([]byte(`{"security":[{"token":[]},{}],`), bytes.TrimPrefix(restapi.SwaggerJSON, []byte("{"))...)

// file serves what is not of the API, and can only be read. Several paths may be one route.
func (s *edge) file(w http.ResponseWriter, r *http.Request, operation, route string, content http.Handler) {
	requestOf(r).route = route
	if err := requestOf(r).permit(operation, ""); err != nil {
		s.serve(w, r, err)
		return
	}
	switch readable := []string{http.MethodGet}; r.Method {
	case http.MethodGet, http.MethodHead:
		content.ServeHTTP(w, r)
	case http.MethodOptions:
		w.Header().Set("Allow", allow(readable))
		w.WriteHeader(http.StatusNoContent)
	default:
		s.serve(w, r, apierrors.MethodNotAllowed(r.Method, readable))
	}
}

// allow is the value of an Allow header: every GET can be a HEAD, and OPTIONS is answered everywhere.
func allow(methods []string) string {
	methods = append(slices.Clone(methods), http.MethodOptions)
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// acceptable refuses a request whose caller would take none of the types that the operation answers with. The generated code takes the type of a
// body for that of its answer, and finds out about the rest when the change is made.
func (s *edge) acceptable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if offers := middleware.MatchedRouteFrom(r).Produces; negotiate.ContentType(r, offers, "") == "" {
			s.serve(w, r, apierrors.InvalidResponseFormat(r.Header.Get(runtime.HeaderAccept), offers))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// strict refuses query parameters that the operation does not have, or that are there twice or without a value, and conditions
// without one: what was misspelt would otherwise be what was not said.
func (s *edge) strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if faults := append(queryFaults(r), headerFaults(r)...); len(faults) > 0 {
			s.serve(w, r, &requestError{faults})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func queryFaults(r *http.Request) (faults executor.Faults) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		faults.Add("", "the query cannot be read")
		return faults
	}
	types := map[string]string{} // of the operation's parameters
	for _, p := range middleware.MatchedRouteFrom(r).Parameters {
		if p.In == "query" {
			types[p.Name] = p.Type
		}
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		typ, known := types[name]
		switch {
		case !known:
			faults.Add(name, "is not a parameter of this operation")
		case len(values) > 1 && typ != "array":
			faults.Add(name, "appears twice")
		case slices.Contains(values, ""):
			faults.Add(name, "needs a value")
		case typ == "boolean" && values[0] != "true" && values[0] != "false": // the generated code takes all else for false
			faults.Add(name, "must be true or false")
		}
	}
	return faults
}

// headerFaults finds the operation's headers that are there and say nothing, which the generated code takes for absent ones.
func headerFaults(r *http.Request) (faults executor.Faults) {
	for _, p := range middleware.MatchedRouteFrom(r).Parameters {
		if p.In == "header" && slices.Contains(r.Header.Values(p.Name), "") {
			faults.Add(p.Name, "needs a value")
		}
	}
	return ordered(faults)
}
