package apiclient

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/models"
)

// busy refuses for the moment, and says what Retry-After does.
func busy(code int, after func() string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after())
		status(code, fmt.Sprintf(`{"title": "x", "status": %d}`, code))(w, r)
	}
}

func says(text string) func() string { return func() string { return text } }

func date(d time.Duration) func() string {
	return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
}

// TestBusyServer: one that is busy for the moment ends neither a watch nor a wait, and is left alone for as long as it asks, if that can be.
func TestBusyServer(t *testing.T) {
	for _, tc := range []struct {
		code  int
		after func() string
		least time.Duration
		most  time.Duration // half a second is for the pauses that are made in any case
	}{
		{429, says("7"), 7 * time.Second, 7 * time.Second},
		{429, date(9 * time.Second), 8 * time.Second, 9 * time.Second},
		{408, says("2"), 2 * time.Second, 2 * time.Second},
		{503, says("3"), 3 * time.Second, 3 * time.Second},
		{429, says("86400"), time.Minute, time.Minute},
		{429, says(fmt.Sprint(uint64(math.MaxUint64))), time.Minute, time.Minute},
		{429, date(24 * time.Hour), time.Minute, time.Minute},
		{429, date(-time.Hour), 0, 0},
		{429, says("-5"), 0, 0},
		{429, says("soon"), 0, 0},
		{429, says(""), 0, 0},
		{408, says(""), 0, 0},
	} {
		refusal := busy(tc.code, tc.after)
		name := fmt.Sprint(tc.code, " ", tc.after())
		took := func(begun time.Time) {
			if d := time.Since(begun); d < tc.least || d < firstPause || d > tc.most+500*time.Millisecond {
				t.Errorf("%s: the next attempt was made after %s", name, d)
			}
		}
		play(t, func(s *script, c *Client) {
			begun := time.Now()
			for e, err := range c.Watch(s.Context(), WatchOptions{}) {
				switch {
				case err != nil:
					s.Fatalf("%s: a watch ends with %v", name, err)
				case e.Revision == 2:
					took(begun)
					return
				}
			}
		}, lines(nil, event(1)), refusal, lines(silent, event(2)))
		begun := time.Time{}
		play(t, func(s *script, c *Client) {
			e, err := c.WaitExecutor(s.Context(), "web", func(e *models.Executor) bool { return e.Revision == 4 })
			if err != nil || e.Revision != 4 {
				s.Errorf("%s: a wait ends with %+v %v", name, e, err)
			}
			took(begun)
		}, document(3), func(w http.ResponseWriter, r *http.Request) { begun = time.Now(); refusal(w, r) }, document(4))
	}
}

func document(revision int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, "application/json", fmt.Sprintf(`{"id": "web", "revision": %d}`, revision))
	}
}
