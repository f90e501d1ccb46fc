package apiclient

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The times between two attempts to reach a server, and the longest that it can ask for.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	mostAsked  = time.Minute
)

// backoff waits longer each time, and as long as the server asks for.
type backoff struct {
	next  time.Duration
	asked time.Duration // by the last answer
}

type askedKey struct{}

// heed gives a context for a request whose answer says how long to wait.
func (b *backoff) heed(ctx context.Context) context.Context {
	return context.WithValue(ctx, askedKey{}, &b.asked)
}

// wait waits, as at the beginning after a success, and up to half as long again, so that the clients of a server do not all come back at once.
func (b *backoff) wait(ctx context.Context, succeeded bool) error {
	if succeeded || b.next == 0 {
		b.next = firstPause
	}
	pause := max(b.next, b.asked) + rand.N(b.next/2) //nolint:gosec // nobody gains by guessing it
	b.next, b.asked = min(2*b.next, lastPause), 0
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// heeding tells the backoff of a request what the answer's Retry-After says: the generated client keeps no header that swagger.yml does not have.
type heeding struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t heeding) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if asked, ok := r.Context().Value(askedKey{}).(*time.Duration); ok && err == nil {
		*asked = retryAfter(answer.Header.Get("Retry-After"))
	}
	return answer, err
}

// retryAfter reads seconds, or a date (RFC 9110, section 10.2.3). What is neither, or is over, is no time at all.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(mostAsked/time.Second))) * time.Second
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(time.Until(date), 0), mostAsked)
}
