package apiclient

import (
	"context"
	"net/http"
	"time"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/models"
)

// waitAtOnce is how long one request of WaitExecutor waits. What is between may close connections that are idle for longer.
const waitAtOnce = 50 * time.Second

// WaitExecutor gives an executor as soon as it is as wanted: at once, or after as many changes as that takes. It goes on when the connection is cut or the server is
// restarted, or too busy for the moment, until ctx ends. When the executor does not exist, or is deleted meanwhile, IsStatus(err, 404).
func (c *Client) WaitExecutor(ctx context.Context, id string, is func(*models.Executor) bool) (*models.Executor, error) {
	get := executors.NewGetExecutorParams().WithID(id)
	begun := false
	for pause := (backoff{}); ; {
		answer, err := c.Executors.GetExecutorContext(pause.heed(ctx), get)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil && is(answer.Payload):
			return answer.Payload, nil
		case err == nil:
			begun = true
			get = get.WithSince(&answer.Payload.Revision).WithWait(new(waitAtOnce.String())).WithTimeout(2 * waitAtOnce)
		case IsStatus(err, http.StatusNotModified):
		case !begun || refused(err):
			return nil, err
		default:
			if err := pause.wait(ctx, false); err != nil {
				return nil, err
			}
			continue
		}
		pause = backoff{}
	}
}
