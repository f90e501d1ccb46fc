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
	"sync"
	"time"

	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/runtime/middleware"
	"github.com/go-openapi/spec"
)

// Bounds keep what requests take of the server within limits, so that whoever asks too much is told so and others are served. Of
// what is shared, one caller has half at most. Zero is the default.
type Bounds struct {
	Header  int   // longest request line and header, in bytes
	Body    int64 // longest body, in bytes
	Bodies  int64 // bodies that come in at a time, in bytes
	Work    int64 // bodies that are worked on at a time, in bytes; others wait
	Lists   int64 // lists, and pages of them, that are made at a time; others wait
	Answers int64 // long answers that are written at a time, in bytes
	Streams int64 // streams, and requests that wait for a change, at a time
}

// The defaults of Bounds. While it is worked on, a document takes some ten times of what it counts for where it is of long texts, and at
// most a hundred times where it is made for that.
const (
	DefaultHeader  = 16 << 10
	DefaultBody    = 1 << 20
	DefaultBodies  = 32 << 20
	DefaultWork    = 4 << 20
	DefaultLists   = 8
	DefaultAnswers = 64 << 20
	DefaultStreams = 8192
)

// turn is how long a document waits to be worked on, and a list to be made.
const turn = 30 * time.Second

const (
	// leastWork is what a document counts for at least, in bytes: a few of them change a long one.
	leastWork = 16 << 10
	// entryWork is what each of its fields and entries counts for beside its text, as near as a comma tells: an entry of a map takes the more
	// memory, compared with its text, the less is in it.
	entryWork = 64
)

func (b Bounds) orDefault() Bounds {
	return Bounds{
		Header: cmp.Or(b.Header, DefaultHeader), Body: cmp.Or(b.Body, DefaultBody), Bodies: cmp.Or(b.Bodies, DefaultBodies),
		Work: cmp.Or(b.Work, DefaultWork), Lists: cmp.Or(b.Lists, DefaultLists),
		Answers: cmp.Or(b.Answers, DefaultAnswers), Streams: cmp.Or(b.Streams, DefaultStreams),
	}
}

// shares are what requests share, within Bounds.
type shares struct {
	Bounds
	bodies, answers, streams *quota
	work, lists              *turns
}

func newShares(b Bounds) *shares {
	b = b.orDefault()
	return &shares{
		Bounds: b, bodies: newQuota(b.Bodies), answers: newQuota(b.Answers), streams: newQuota(b.Streams),
		work: newTurns(b.Work, b.Body), lists: newTurns(b.Lists, 1),
	}
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
	manyLists       = crowded("other lists are still being made")
	manyAnswers     = crowded("too much is being answered and not yet read, in all or by this caller")
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

// need is what an operation takes of what is shared, beside its answer's length.
type need int

const (
	needsNothing need = iota
	needsStream
	needsList
	needsWork
)

// needOf says what a request needs.
func needOf(r *http.Request) need {
	operation := middleware.MatchedRouteFrom(r).Operation
	has := func(in, name string) bool {
		return slices.ContainsFunc(operation.Parameters, func(p spec.Parameter) bool { return p.In == in && (p.Name == name || name == "") })
	}
	switch {
	case streams(operation), has("query", "wait") && r.URL.Query().Has("wait"):
		return needsStream
	case has("query", "limit"):
		return needsList
	case has("body", "") && r.ContentLength != 0:
		return needsWork
	}
	return needsNothing
}

// streams reports whether an operation's answer is no document, and so written as it comes. (The runtime adds JSON to what a route produces.)
func streams(operation *spec.Operation) bool {
	return len(operation.Produces) > 0 && !slices.Contains(operation.Produces, "application/json")
}

// share lets a caller, who may have the operation, have its part of what is shared: until the answer is made, or a stream has ended.
func (s *edge) share(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made, done, err := s.shares.take(r)
		if err != nil {
			s.serve(w, r, err)
			return
		}
		defer done()
		made = sync.OnceFunc(made)
		defer made()
		if streams(middleware.MatchedRouteFrom(r).Operation) {
			next.ServeHTTP(w, r)
			return
		}
		p := &reply{ResponseWriter: w, edge: s, request: r, made: made}
		defer p.give()
		next.ServeHTTP(p, r)
		p.end()
	})
}

// take takes what a request needs, and waits for it when others will soon be done with it. When the answer is made, made gives it
// back; done gives back what is held until the answer is written.
func (s *shares) take(r *http.Request) (made, done func(), err error) {
	caller := requestOf(r).caller.Name
	made, done = func() {}, func() {}
	switch needOf(r) {
	case needsStream:
		if !s.streams.take(caller, 1) {
			return nil, nil, manyStreams
		}
		made = func() { s.streams.give(caller, 1) }
	case needsList:
		if s.answers.spent(caller) {
			return nil, nil, manyAnswers
		}
		if made, err = wait(r, s.lists, caller, 1); err != nil {
			return nil, nil, manyLists
		}
	case needsWork:
		return s.document(r, caller)
	}
	return made, done, nil
}

// wait waits for a turn, and not for long.
func wait(r *http.Request, of *turns, caller string, n int64) (made func(), err error) {
	ctx, cancel := context.WithTimeout(r.Context(), turn)
	defer cancel()
	return of.take(ctx, caller, n)
}

// document takes in the body of a request, and waits until it may be worked on. Those that come in slowly wait beside the others, and
// not in their way.
func (s *shares) document(r *http.Request, caller string) (made, done func(), err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" { // nobody knows how large it is
		return nil, nil, apierrors.New(http.StatusUnsupportedMediaType, "the body must be as it is, without a Content-Encoding")
	}
	size := r.ContentLength
	if size > s.Body {
		return nil, nil, unreadableBody(&http.MaxBytesError{Limit: s.Body})
	}
	if size < 0 {
		size = s.Body
	}
	if s.answers.spent(caller) { // the answer to a change is written in any case
		return nil, nil, manyAnswers
	}
	if !s.bodies.take(caller, size) {
		return nil, nil, manyBodies
	}
	done = func() { s.bodies.give(caller, size) }
	text, err := takeIn(r)
	if err != nil {
		done()
		return nil, nil, err
	}
	if made, err = wait(r, s.work, caller, workOf(text)); err != nil {
		done()
		return nil, nil, manyDocuments
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return made, done, nil
}

// workOf is what a document counts for.
func workOf(text []byte) int64 {
	return max(int64(len(text)+entryWork*bytes.Count(text, []byte(","))), leastWork)
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
