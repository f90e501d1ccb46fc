package apiclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/vmexecutor/config-server/client/feed"
	"github.com/vmexecutor/config-server/models"
)

// WatchOptions say what a Watch gives. The zero value gives every event from now on.
type WatchOptions struct {
	Since     *uint64       // every event after this revision, such as that of a list; nil begins now
	Kinds     []string      // only of these kinds (models.EventKindExecutor, ...); none for all
	Executors []string      // only what concerns these executors, by id; none for all
	Heartbeat time.Duration // how often the server is heard of at least, in whole seconds from 1s to 5m; 15s
	// Heartbeats gives these as well, with the action models.EventActionHeartbeat: all events up to the revision of one were given. The first one says where
	// the watch begins.
	Heartbeats bool
	// Retrying, when it is set, is told why the server has to be asked again.
	Retrying func(error)
}

// CompactedError ends a Watch whose place is older than the history that the server keeps. List anew, and watch from the list's revision.
type CompactedError struct{ Revision uint64 } // the server's: lists that are made now stand at it or later

func (e *CompactedError) Error() string {
	return fmt.Sprintf("the server's history does not go back so far: list anew, at revision %d or later", e.Revision)
}

// silence is how many heartbeats may stay away before a connection counts as dead.
const silence = 3

var errSilent = errors.New("nothing was heard of the server for too long")

// Watch follows what happens: each event once and in order. It goes on by itself, from where it was, when the connection is cut or the server is restarted, until ctx
// ends or the loop over it does. It comes back no sooner than the server asks for (Retry-After), but for what is above a minute. An error is the last element: that of ctx,
// *CompactedError, the server's refusal (see Problem) unless that is for the moment alone, or why the watch could not begin in the first place.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[*models.Event, error] {
	return func(yield func(*models.Event, error) bool) {
		w := &watch{WatchOptions: o, yield: yield}
		if w.Heartbeat == 0 {
			w.Heartbeat = 15 * time.Second
		}
		for pause := (backoff{}); ; {
			w.heard = false
			err := w.once(pause.heed(ctx), c)
			switch {
			case w.left:
				return
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case !w.begun || refused(err):
				yield(nil, compacted(err))
				return
			}
			if o.Retrying != nil {
				o.Retrying(err)
			}
			if pause.wait(ctx, w.heard) != nil {
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// watch is one on its way through several connections.
type watch struct {
	WatchOptions // Since is its place
	yield        func(*models.Event, error) bool

	begun bool // it is known where
	heard bool // the present connection brought something
	left  bool // nobody wants more
	dead  *time.Timer
}

// once follows the feed over one connection, to its end.
func (w *watch) once(ctx context.Context, c *Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.dead = time.AfterFunc(silence*w.Heartbeat, func() { cancel(errSilent) })
	defer w.dead.Stop()
	heartbeat := w.Heartbeat.String()
	_, err := c.Feed.WatchContext(ctx, feed.NewWatchParams().WithTimeout(0).
		WithSince(w.Since).WithKind(w.Kinds).WithExecutor(w.Executors).WithHeartbeat(&heartbeat), w)
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err == nil:
		return io.EOF
	}
	return err
}

// ReadFrom takes the lines of a stream, for the generated client.
func (w *watch) ReadFrom(r io.Reader) (int64, error) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return 0, err // half a line is none
		}
		w.dead.Stop() // it is not the server that is waited for now
		e := new(models.Event)
		if err := json.Unmarshal(line, e); err != nil {
			return 0, fmt.Errorf("event: %w", err)
		}
		if e.Action != models.EventActionHeartbeat || w.Heartbeats {
			if !w.yield(e, nil) {
				w.left = true
				return 0, errLeft
			}
		}
		w.Since, w.begun, w.heard = &e.Revision, true, true
		w.dead.Reset(silence * w.Heartbeat)
	}
}

var errLeft = errors.New("nobody wants more events")

// Write is never called: ReadFrom is.
func (w *watch) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

// refused reports whether the server answered, and would answer the same again: not so when it has too much to do, or the request came too slowly.
func refused(err error) bool {
	p := Problem(err)
	return p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests && p.Status != http.StatusRequestTimeout
}

// compacted makes the server's 410 one that says where to go on.
func compacted(err error) error {
	if gone, ok := errors.AsType[*feed.WatchGone](err); ok && gone.Payload != nil {
		return &CompactedError{gone.Payload.Revision}
	}
	return err
}
