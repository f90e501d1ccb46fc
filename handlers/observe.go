package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/auth"
)

type requestKey struct{}

// request is what is known of one that is being answered.
type request struct {
	id    string
	route string // the pattern that it met; empty for none
	head  bool   // its answer is to have no body

	connection *http.ResponseController // for what takes longer than the server's limits

	caller    auth.Principal                 // nobody until it is known, and where nobody asks
	identify  func() (auth.Principal, error) // says who the caller is by now
	permitted bool                           // the caller may have the operation
	operation string                         // its id; empty until it is asked whether the caller may have it

	entry audit.Entry // what becomes of it, in so far as it has a line
}

// requestOf gives what is known of a request.
func requestOf(r *http.Request) *request {
	if known, ok := r.Context().Value(requestKey{}).(*request); ok {
		return known
	}
	return &request{}
}

// requestID gives the id that the log, the answer's X-Request-Id and problem documents have in common.
func requestID(r *http.Request) string { return requestOf(r).id }

// requestURN identifies a request as a problem's instance.
func requestURN(r *http.Request) string { return "urn:request:" + requestID(r) }

// observe is the outermost layer: it gives the request an id, logs and counts how it ended, and answers for a handler that panics.
func (s *edge) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		id := r.Header.Get("X-Request-Id")
		if !validRequestID(id) {
			id = rand.Text()
		}
		rec := &recorder{ResponseWriter: w}
		known := &request{id: id, head: r.Method == http.MethodHead, connection: http.NewResponseController(rec)}
		r = r.WithContext(audit.With(context.WithValue(r.Context(), requestKey{}, known), &known.entry))
		rec.Header().Set("X-Request-Id", id)
		whole := false
		defer func() { // also when what follows panics on
			s.audit(r, rec, whole)
			s.metrics.Answered(known.route, r.Method, cmp.Or(rec.status, http.StatusOK), time.Since(begun))
		}()
		defer func() {
			if v := recover(); v != nil {
				s.recovered(rec, r, v)
			}
			// Neither query nor body: they may hold what is nobody else's business.
			s.log.Debug("request", "request", id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "caller", known.caller.Name, "duration", time.Since(begun))
		}()
		next.ServeHTTP(rec, r)
		whole = true
	})
}

// validRequestID accepts a client's own id when it can stand in a log and a URN.
func validRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// recovered answers for a handler that panicked. What it panicked with may hold values, and is not logged unless
// it is the Go runtime's own word.
func (s *edge) recovered(w *recorder, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // the very value, by the contract of net/http
		panic(v)
	}
	what := fmt.Sprintf("a value of type %T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	s.log.Error("handler panicked", "request", requestID(r), "panic", what, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: let the client see that it is not whole
	}
	s.serve(w, r, fmt.Errorf("handler panicked"))
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is an answer of 200 unless there was another.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
