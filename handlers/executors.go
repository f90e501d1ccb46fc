package handlers

import (
	"context"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/restapi/operations/executors"
	"github.com/vmexecutor/config-server/store"
)

type executorHandlers struct {
	store      *store.Store
	reconciler *push.Reconciler
	reports    reportPaths
	streams    context.Context // nobody waits longer
}

func (h *executorHandlers) list(params executors.ListExecutorsParams) (executors.ListExecutorsResponder, error) {
	query := store.ExecutorQuery{
		Name: value(params.Name), IDPrefix: value(params.IDPrefix), Lookup: value(params.Lookup), Annotations: params.Annotation,
		Network: value(params.Network), Driver: value(params.Driver), Paging: paging(params.Limit, params.Continue),
	}
	if params.State != nil {
		query.Keeps = *params.State
		query.Keep = func(e *store.Executor) bool { return h.reconciler.State(e) == push.State(*params.State) }
	}
	page, err := h.store.ListExecutors(params.HTTPRequest.Context(), query)
	if err != nil {
		return nil, err
	}
	list := &models.ExecutorList{Items: []*models.Executor{}, Continue: page.Continue, Revision: page.Revision}
	for _, e := range page.Items {
		list.Items = append(list.Items, executorFor(params.HTTPRequest.Context(), e))
	}
	return executors.NewListExecutorsOK().WithPayload(list), nil
}

// paging reads the parameters that all lists have.
func paging(limit *int32, next *string) store.Paging {
	return store.Paging{Limit: int(value(limit)), Continue: value(next)}
}

// value gives a parameter, or the zero value when it is absent: none of them may be empty.
func value[T any](parameter *T) (v T) {
	if parameter != nil {
		v = *parameter
	}
	return v
}

func (h *executorHandlers) create(params executors.CreateExecutorParams) (executors.CreateExecutorResponder, error) {
	config, binding, err := h.read(params.HTTPRequest.Context(), params.Body)
	if err != nil {
		return nil, err
	}
	e, err := h.store.CreateExecutor(params.HTTPRequest.Context(), config, binding, unique(params.Unique)...)
	if err != nil {
		return nil, err
	}
	return executors.NewCreateExecutorCreated().WithETag(etag(e.Tag())).WithLocation(executorPath(e.Config.ID)).WithPayload(executorFor(params.HTTPRequest.Context(), e)), nil
}

func (h *executorHandlers) get(params executors.GetExecutorParams) (executors.GetExecutorResponder, error) {
	news := func(e *store.Executor) bool {
		return (params.Since == nil || e.Revision > *params.Since) && !known(params.IfNoneMatch, e.Tag())
	}
	e, err := h.waitFor(params, news)
	switch {
	case err != nil:
		return nil, err
	case !news(e):
		return executors.NewGetExecutorNotModified().WithETag(etag(e.Tag())), nil
	}
	return executors.NewGetExecutorOK().WithETag(etag(e.Tag())).WithPayload(executorFor(params.HTTPRequest.Context(), e)), nil
}

func (h *executorHandlers) put(params executors.PutExecutorParams) (executors.PutExecutorResponder, error) {
	options, err := conditions("", params.IfMatch, params.IfNoneMatch, false)
	if err != nil {
		return nil, err
	}
	config, err := h.readNamed(params.HTTPRequest.Context(), params.Body, params.ID)
	if err != nil {
		return nil, err
	}
	e, created, err := h.store.PutExecutor(params.HTTPRequest.Context(), config, append(options, unique(params.Unique)...)...)
	switch {
	case err != nil:
		return nil, err
	case created:
		return executors.NewPutExecutorCreated().WithETag(etag(e.Tag())).WithLocation(executorPath(e.Config.ID)).WithPayload(executorFor(params.HTTPRequest.Context(), e)), nil
	}
	return executors.NewPutExecutorOK().WithETag(etag(e.Tag())).WithPayload(executorFor(params.HTTPRequest.Context(), e)), nil
}

func (h *executorHandlers) patch(params executors.PatchExecutorParams) (executors.PatchExecutorResponder, error) {
	patch, err := tree(params.Body)
	if err != nil {
		return nil, err
	}
	options, err := conditions("", params.IfMatch, nil, h.reports.named(patch))
	if err != nil {
		return nil, err
	}
	guest := isGuest(params.HTTPRequest)
	var config *executor.ExecutorConfig
	e, err := h.store.UpdateExecutor(params.HTTPRequest.Context(), params.ID, func(c *executor.ExecutorConfig) error {
		document := inFull.config(c)
		if guest {
			if err := h.reports.guestPatch(patch, document); err != nil {
				return err
			}
		}
		m, err := patched(document, params.Body, patch)
		if err != nil {
			return err
		}
		if names(patch, "vm") { // null, too, which would be gone
			m.VM = &models.VMBinding{}
		}
		if config, err = readExecutor(m, params.ID); err != nil {
			return err
		}
		*c = *config
		return nil
	}, append(options, unique(params.Unique)...)...)
	if err != nil {
		return nil, lacking(params.HTTPRequest.Context(), h.store, config, err)
	}
	w := writerFor(params.HTTPRequest.Context(), params.ID)
	document := w.executor(e)
	if guest {
		if document, err = w.guest(h.store, e); err != nil {
			return nil, err
		}
	}
	return executors.NewPatchExecutorOK().WithETag(etag(e.Tag())).WithPayload(document), nil
}

func (h *executorHandlers) delete(params executors.DeleteExecutorParams) (executors.DeleteExecutorResponder, error) {
	options, err := conditions("", params.IfMatch, nil, false)
	if err != nil {
		return nil, err
	}
	if err := h.store.DeleteExecutor(params.HTTPRequest.Context(), params.ID, options...); err != nil {
		return nil, err
	}
	return executors.NewDeleteExecutorNoContent(), nil
}

// executorFor is an executor for the caller whose request ctx is of.
func executorFor(ctx context.Context, e *store.Executor) *models.Executor {
	return writerFor(ctx, e.Config.ID).executor(e)
}

// read reads the document of an executor that is to be made, and bound where it says so.
func (h *executorHandlers) read(ctx context.Context, m *models.Executor) (config *executor.ExecutorConfig, binding *store.Binding, err error) {
	var r reader
	r.validate("", m)
	config = r.executor(m)
	if m.VM != nil {
		binding = r.binding("vm", m.VM)
		r.check("vm", func() error { return h.reconciler.CheckBinding(binding, config.ID) })
	}
	return config, binding, lacking(ctx, h.store, config, r.executorErr(config, binding))
}

// readNamed reads the document that replaces an executor.
func (h *executorHandlers) readNamed(ctx context.Context, m *models.Executor, id string) (*executor.ExecutorConfig, error) {
	config, err := readExecutor(m, id)
	return config, lacking(ctx, h.store, config, err)
}

// readExecutor reads the document of an executor that has a path already.
func readExecutor(m *models.Executor, id string) (*executor.ExecutorConfig, error) {
	var r reader
	r.validate("", m)
	config := r.executor(m)
	r.agree("id", &config.ID, id)
	if m.VM != nil {
		r.faults.Add("vm", "is accepted when an executor is created by POST: otherwise bind it with PUT "+executorPath(id)+"/vm")
	}
	return config, r.executorErr(config, nil)
}

// executorPath is where an executor is found. Ids have no character that a path would have to escape.
func executorPath(id string) string { return "/v1/executors/" + id }
