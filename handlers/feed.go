package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/runtime"
	"github.com/go-openapi/runtime/server-middleware/negotiate"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/feed"
	"github.com/vmexecutor/config-server/store"
)

// linesMediaType is that of a stream of JSON documents, each on a line.
const linesMediaType = "application/x-ndjson"

type feedHandlers struct {
	store    *store.Store
	metrics  *metrics.Metrics
	streams  context.Context // all of them end with it
	patience time.Duration
	log      *slog.Logger
}

func (h *feedHandlers) watch(params feed.WatchParams) (feed.WatchResponder, error) {
	every, err := duration("heartbeat", *params.Heartbeat, minHeartbeat, maxHeartbeat)
	if err != nil {
		return nil, err
	}
	r := params.HTTPRequest
	if negotiate.ContentType(r, []string{linesMediaType}, "") == "" { // the runtime offers JSON as well
		return nil, apierrors.InvalidResponseFormat(r.Header.Get("Accept"), []string{linesMediaType})
	}
	sub, err := h.store.Subscribe(r.Context(), params.Since, shown(params))
	if err != nil {
		return nil, err
	}
	return &stream{feedHandlers: h, WatchOK: feed.NewWatchOK(), request: r, sub: sub, every: every}, nil
}

// shown says which events a client gets: those that it asks for. Whoever may see less than all is to have the filter narrowed here, and nowhere else.
func shown(params feed.WatchParams) store.Filter {
	return store.Filter{Kinds: params.Kind, Executors: params.Executor}
}

// stream is the answer of a watch. It is written until one of the two sides ends it, or its caller is revoked.
type stream struct {
	*feedHandlers
	*feed.WatchOK
	request *http.Request
	sub     *store.Subscription
	every   time.Duration // heartbeats
}

// WriteResponse is what the generated code calls.
func (s *stream) WriteResponse(w http.ResponseWriter, _ runtime.Producer) {
	defer s.sub.Close()
	defer s.metrics.WatchOpened()()
	w.Header().Set("Content-Type", linesMediaType)
	w.Header().Set("Cache-Control", "no-store")
	if requestOf(s.request).head {
		w.WriteHeader(http.StatusOK)
		return
	}
	out := newLineWriter(w, s.patience, s.streams)
	defer out.close()
	err := s.follow(out)
	switch {
	case s.streams.Err() != nil:
		return // the server is about to stop
	case errors.Is(err, os.ErrDeadlineExceeded): // this ends the request's context, too
		s.metrics.WatchCut(metrics.CutStalled)
	case s.request.Context().Err() != nil:
		return // the client left
	case errors.Is(err, auth.ErrUnauthenticated):
		s.metrics.WatchCut(metrics.CutRevoked)
	case errors.Is(err, store.ErrCompacted):
		s.metrics.WatchCut(metrics.CutBehind)
	}
	panic(http.ErrAbortHandler) // the client is to see that this is no proper end
}

// follow writes what comes, and a heartbeat at the beginning and when nothing came for a while.
func (s *stream) follow(out *lineWriter) error {
	ctx := s.request.Context()
	if err := out.begin(s.heartbeat()); err != nil {
		return err
	}
	quiet := time.NewTimer(s.every)
	defer quiet.Stop()
	for due := false; ; {
		list, err := s.sub.Take(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("watch ends early", "request", requestID(s.request), "at", s.sub.Revision(), "error", err)
			}
			return err
		}
		if len(list) > 0 || due { // what is told now was not known when the caller was last seen to be one
			if err := requestOf(s.request).revoked(); err != nil {
				s.log.Info("watch ends: its caller was revoked", "request", requestID(s.request), "caller", requestOf(s.request).caller.Name)
				return err
			}
		}
		for _, n := range list {
			if err := out.write(n.Text(eventLine)); err != nil {
				return err
			}
		}
		switch {
		case len(list) > 0:
			err = out.flush()
		case due: // now that all is taken
			if err = out.write(s.heartbeat()); err == nil {
				err = out.flush()
			}
		default:
			select {
			case <-s.sub.News():
			case <-quiet.C:
				due = true
			case <-ctx.Done():
				return ctx.Err()
			case <-s.streams.Done():
				return s.streams.Err()
			}
			continue
		}
		if err != nil {
			return err
		}
		due = false
		quiet.Reset(s.every)
	}
}

// heartbeat says up to where everything was written.
func (s *stream) heartbeat() []byte {
	return eventLine(&store.Event{Revision: s.sub.Revision(), Time: time.Now().UTC(), Action: actionHeartbeat})
}

// actionHeartbeat is that of a line which tells of no commit.
const actionHeartbeat = "heartbeat"

// eventLine is an event as clients read it.
func eventLine(e *store.Event) []byte {
	text, err := json.Marshal(&models.Event{
		Revision: e.Revision, Time: e.Time, Kind: e.Kind, ID: e.ID, Name: e.Name, Action: e.Action, Fields: e.Fields, Actor: e.Actor, Values: e.Values,
	}, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // strings, numbers and a time cannot fail
	}
	return append(text, '\n')
}
