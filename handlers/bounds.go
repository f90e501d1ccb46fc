package handlers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/runtime/middleware"
	"github.com/go-openapi/spec"
	"golang.org/x/sync/semaphore"
)

// Bounds keep what requests take of the server within limits, so that whoever asks too much is told so and others are served. Of
// what is shared, other than work, one caller has half at most. Zero is the default.
type Bounds struct {
	Header  int   // longest request line and header, in bytes
	Body    int64 // longest body, in bytes
	Bodies  int64 // bodies that come in at a time, in bytes
	Work    int64 // bodies that are worked on at a time, in bytes; others wait
	Lists   int64 // whole lists that are answered at a time
	Streams int64 // streams, and requests that wait for a change, at a time
}

// The defaults of Bounds. A document takes some sixty times its length while it is worked on, if it is made for that.
const (
	DefaultHeader  = 16 << 10
	DefaultBody    = 1 << 20
	DefaultBodies  = 32 << 20
	DefaultWork    = 4 << 20
	DefaultLists   = 32
	DefaultStreams = 8192
)

// turn is how long a document waits to be worked on.
const turn = 30 * time.Second

func (b Bounds) orDefault() Bounds {
	return Bounds{
		Header: cmp.Or(b.Header, DefaultHeader), Body: cmp.Or(b.Body, DefaultBody), Bodies: cmp.Or(b.Bodies, DefaultBodies),
		Work: cmp.Or(b.Work, DefaultWork), Lists: cmp.Or(b.Lists, DefaultLists), Streams: cmp.Or(b.Streams, DefaultStreams),
	}
}

// shares are what requests share, within Bounds.
type shares struct {
	Bounds
	bodies, lists, streams *quota
	work                   *semaphore.Weighted
}

func newShares(b Bounds) *shares {
	b = b.orDefault()
	return &shares{Bounds: b, bodies: newQuota(b.Bodies), lists: newQuota(b.Lists), streams: newQuota(b.Streams), work: semaphore.NewWeighted(b.Work)}
}

var (
	errLongHeader = errors.New("the request line and the header are longer than this server reads")
	errSlowBody   = errors.New("the body did not come in in time")

	// errCrowded is the kind of what a client may try again after a moment.
	errCrowded = errors.New("there is too much to do, in all or for this client: try again later")
)

// crowded is an errCrowded that says of what there is too much.
type crowded string

func (e crowded) Error() string        { return string(e) + ": try again later, or ask for less at a time" }
func (e crowded) Is(target error) bool { return target == errCrowded }

const (
	manyConnections = crowded("there are too many connections, in all or of this client")
	manyBodies      = crowded("too much is being sent, in all or by this caller")
	manyDocuments   = crowded("other documents are still being worked on")
	manyLists       = crowded("too many whole lists are being answered, in all or for this caller")
	manyStreams     = crowded("too many streams are open, in all or of this caller")
)

type crowdedKey struct{}

// Crowded notes that a connection is one too many: its request is refused (429), and it ends.
func Crowded(ctx context.Context) context.Context {
	return context.WithValue(ctx, crowdedKey{}, true)
}

// bound refuses what comes over one connection too many, and what has too long a header.
func (s *edge) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Context().Value(crowdedKey{}) != nil:
			w.Header().Set("Connection", "close")
			s.serve(w, r, manyConnections)
		case headerSize(r) > s.shares.Header:
			w.Header().Set("Connection", "close")
			s.serve(w, r, errLongHeader)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// headerSize is about what a request took to say, without its body.
func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// share lets a caller, who may have the operation, have its part of what is shared.
func (s *edge) share(next http.Handler) http.Handler {
	next = s.document(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of, full := s.shares.of(r)
		if of == nil {
			next.ServeHTTP(w, r)
			return
		}
		caller := requestOf(r).caller.Name
		if !of.take(caller, 1) {
			s.serve(w, r, full)
			return
		}
		defer of.give(caller, 1)
		next.ServeHTTP(w, r)
	})
}

// of says which part of what is shared a request takes, other than by its body: none, for most.
func (s *shares) of(r *http.Request) (of *quota, full error) {
	operation, query := middleware.MatchedRouteFrom(r).Operation, r.URL.Query()
	has := func(name string) bool {
		return slices.ContainsFunc(operation.Parameters, func(p spec.Parameter) bool { return p.In == "query" && p.Name == name })
	}
	switch {
	case streams(operation), query.Has("wait"):
		return s.streams, manyStreams
	case has("limit") && !query.Has("limit"):
		return s.lists, manyLists
	}
	return nil, nil
}

// streams reports whether an operation's answer is no document, and so written as it comes. (The runtime adds JSON to what a route produces.)
func streams(operation *spec.Operation) bool {
	return len(operation.Produces) > 0 && !slices.Contains(operation.Produces, "application/json")
}

// document takes in the body of an operation that has one, and lets it be worked on when its turn has come. Those that come in slowly
// wait beside the others, and not in their way.
func (s *edge) document(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hasBody := slices.ContainsFunc(middleware.MatchedRouteFrom(r).Operation.Parameters, func(p spec.Parameter) bool { return p.In == "body" })
		if !hasBody || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" { // nobody knows how large it is
			s.serve(w, r, apierrors.New(http.StatusUnsupportedMediaType, "the body must be as it is, without a Content-Encoding"))
			return
		}
		caller, size := requestOf(r).caller.Name, r.ContentLength
		if size > s.shares.Body {
			s.serve(w, r, unreadableBody(&http.MaxBytesError{Limit: s.shares.Body}))
			return
		}
		if size < 0 {
			size = s.shares.Body
		}
		if !s.shares.bodies.take(caller, size) {
			s.serve(w, r, manyBodies)
			return
		}
		defer s.shares.bodies.give(caller, size)
		text, err := takeIn(r)
		if err != nil {
			s.serve(w, r, err)
			return
		}
		size = int64(len(text))
		ctx, cancel := context.WithTimeout(r.Context(), turn)
		defer cancel()
		if err := s.shares.work.Acquire(ctx, size); err != nil {
			s.serve(w, r, manyDocuments)
			return
		}
		defer s.shares.work.Release(size)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), size
		next.ServeHTTP(w, r)
	})
}

// takeIn reads a body, which has a limit.
func takeIn(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	case err != nil:
		return nil, unreadableBody(err)
	}
	return text, nil
}

// unreadableBody is what the runtime says of a body that cannot be read.
func unreadableBody(err error) error { return apierrors.NewParseError("body", "body", "", err) }
