package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	apierrors "github.com/go-openapi/errors"
)

// Bounds keep what one request takes of the server within limits. Zero is the default.
type Bounds struct {
	Header int   // longest request line and header, in bytes
	Body   int64 // longest body, in bytes
}

// The defaults of Bounds.
const (
	DefaultHeader = 16 << 10
	DefaultBody   = 1 << 20
)

func (b Bounds) orDefault() Bounds {
	return Bounds{Header: cmp.Or(b.Header, DefaultHeader), Body: cmp.Or(b.Body, DefaultBody)}
}

var (
	errCrowded    = errors.New("there are too many connections, in all or of this client: close some, or try again later")
	errLongHeader = errors.New("the request line and the header are longer than this server reads")
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
			s.serve(w, r, errCrowded)
		case headerSize(r) > s.bounds.Header:
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

// plainBody refuses bodies that would have to be unpacked: nobody knows how large they are.
func (s *edge) plainBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
			s.serve(w, r, apierrors.New(http.StatusUnsupportedMediaType, "the body must be as it is, without a Content-Encoding"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
