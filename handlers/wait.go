package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/restapi/operations/executors"
	"github.com/vmexecutor/config-server/store"
)

// The limits of what clients may ask for.
const (
	maxWait      = 5 * time.Minute
	minHeartbeat = time.Second
	maxHeartbeat = 5 * time.Minute
)

// answerLimit is how long an answer that was waited for may take to be written.
const answerLimit = time.Minute

// waitFor gives an executor: at once, or, when the request says so, as soon as it is news to the client, or its time is over.
func (h *executorHandlers) waitFor(params executors.GetExecutorParams, news func(*store.Executor) bool) (*store.Executor, error) {
	ctx := params.HTTPRequest.Context()
	if params.Since != nil {
		if err := h.reached(ctx, *params.Since); err != nil {
			return nil, err
		}
	}
	if params.Wait == nil {
		return h.store.Executor(ctx, params.ID)
	}
	limit, err := duration("wait", *params.Wait, 0, maxWait)
	if err != nil {
		return nil, err
	}
	if params.Since == nil && params.IfNoneMatch == nil {
		return nil, &requestError{executor.Faults{{Field: "wait", Message: "needs since or If-None-Match, which say what the caller knows"}}}
	}
	connection := requestOf(params.HTTPRequest).connection
	if err := connection.SetReadDeadline(time.Time{}); err != nil { // it would end the request
		return nil, err
	}
	if err := connection.SetWriteDeadline(time.Now().Add(limit + answerLimit)); err != nil {
		return nil, err
	}
	until, cancel := context.WithTimeout(h.streams, limit)
	defer cancel()
	e, err := h.store.WaitExecutor(ctx, params.ID, news, until.Done())
	if err := requestOf(params.HTTPRequest).revoked(); err != nil {
		return nil, err
	}
	return e, err
}

// reached refuses a revision that has not been yet: nothing would ever be news to a client that has it from another store.
func (h *executorHandlers) reached(ctx context.Context, since uint64) error {
	now, err := h.store.Revision(ctx)
	if err == nil && since > now {
		err = store.Future(since, now)
	}
	return err
}

// duration reads a parameter that is one.
func duration(parameter, text string, shortest, longest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < shortest || d > longest {
		return 0, &requestError{executor.Faults{{
			Field: parameter, Message: fmt.Sprintf("must be a time such as 30s or 1m30s, from %s to %s", words(shortest), words(longest)),
		}}}
	}
	return d, nil
}

func words(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return d.String()
}
