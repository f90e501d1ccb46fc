package apiclient

import (
	"context"
	"fmt"
	"net/http"

	"github.com/vmexecutor/config-server/client/endpoints"
	"github.com/vmexecutor/config-server/client/execs"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/mounts"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/client/sessions"
	"github.com/vmexecutor/config-server/models"
)

// update reads a document, has it changed, and writes it on condition that nobody else changed it meanwhile; then it
// begins anew, until ctx ends.
func update[M any](ctx context.Context, get func() (*M, string, error), change func(*M) error, put func(doc *M, etag string) (*M, error)) (*M, error) {
	for {
		doc, etag, err := get()
		if err != nil {
			return nil, err
		}
		if err := change(doc); err != nil {
			return nil, err
		}
		doc, err = put(doc, etag)
		if !IsStatus(err, http.StatusPreconditionFailed) {
			return doc, err
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("somebody else keeps changing it: %w", err)
		}
	}
}

// UpdateExecutor changes an executor and answers what it is then. The change may be made more than once, each time on what the
// executor is by then. Read-write fields are the guest's: they stay as they are (use PatchExecutor to set them).
func (c *Client) UpdateExecutor(ctx context.Context, id string, change func(*models.Executor) error) (*models.Executor, error) {
	return update(ctx, func() (*models.Executor, string, error) {
		ok, err := c.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID(id))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Executor, etag string) (*models.Executor, error) {
		ok, _, err := c.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID(id).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}

// UpdateNetwork is UpdateExecutor for a container network.
func (c *Client) UpdateNetwork(ctx context.Context, name string, change func(*models.Network) error) (*models.Network, error) {
	return update(ctx, func() (*models.Network, string, error) {
		ok, err := c.Networks.GetNetworkContext(ctx, networks.NewGetNetworkParams().WithName(name))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Network, etag string) (*models.Network, error) {
		ok, _, err := c.Networks.PutNetworkContext(ctx, networks.NewPutNetworkParams().WithName(name).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}

// UpdateSession is UpdateExecutor for one session.
func (c *Client) UpdateSession(ctx context.Context, executor, id string, change func(*models.Session) error) (*models.Session, error) {
	return update(ctx, func() (*models.Session, string, error) {
		ok, err := c.Sessions.GetSessionContext(ctx, sessions.NewGetSessionParams().WithID(executor).WithSessionID(id))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Session, etag string) (*models.Session, error) {
		ok, _, err := c.Sessions.PutSessionContext(ctx, sessions.NewPutSessionParams().WithID(executor).WithSessionID(id).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}

// UpdateExec is UpdateExecutor for one exec.
func (c *Client) UpdateExec(ctx context.Context, executor, id string, change func(*models.Session) error) (*models.Session, error) {
	return update(ctx, func() (*models.Session, string, error) {
		ok, err := c.Execs.GetExecContext(ctx, execs.NewGetExecParams().WithID(executor).WithExecID(id))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Session, etag string) (*models.Session, error) {
		ok, _, err := c.Execs.PutExecContext(ctx, execs.NewPutExecParams().WithID(executor).WithExecID(id).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}

// UpdateMount is UpdateExecutor for one mount.
func (c *Client) UpdateMount(ctx context.Context, executor, name string, change func(*models.Mount) error) (*models.Mount, error) {
	return update(ctx, func() (*models.Mount, string, error) {
		ok, err := c.Mounts.GetMountContext(ctx, mounts.NewGetMountParams().WithID(executor).WithName(name))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Mount, etag string) (*models.Mount, error) {
		ok, _, err := c.Mounts.PutMountContext(ctx, mounts.NewPutMountParams().WithID(executor).WithName(name).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}

// UpdateEndpoint is UpdateExecutor for one endpoint.
func (c *Client) UpdateEndpoint(ctx context.Context, executor, name string, change func(*models.Endpoint) error) (*models.Endpoint, error) {
	return update(ctx, func() (*models.Endpoint, string, error) {
		ok, err := c.Endpoints.GetEndpointContext(ctx, endpoints.NewGetEndpointParams().WithID(executor).WithName(name))
		if err != nil {
			return nil, "", err
		}
		return ok.Payload, ok.ETag, nil
	}, change, func(doc *models.Endpoint, etag string) (*models.Endpoint, error) {
		ok, _, err := c.Endpoints.PutEndpointContext(ctx, endpoints.NewPutEndpointParams().WithID(executor).WithName(name).WithBody(doc).WithIfMatch(&etag))
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
}
