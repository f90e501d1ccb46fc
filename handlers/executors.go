package handlers

import (
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/executors"
	"github.com/vmexecutor/config-server/store"
)

type executorHandlers struct{ store *store.Store }

func (h *executorHandlers) list(params executors.ListExecutorsParams) (executors.ListExecutorsResponder, error) {
	list, revision, err := h.store.Executors(params.HTTPRequest.Context())
	if err != nil {
		return nil, err
	}
	items := make([]*models.Executor, len(list))
	for i, e := range list {
		items[i] = executorModel(e)
	}
	return executors.NewListExecutorsOK().WithPayload(&models.ExecutorList{Items: items, Revision: revision}), nil
}

func (h *executorHandlers) create(params executors.CreateExecutorParams) (executors.CreateExecutorResponder, error) {
	var r reader
	config := r.executor(params.Body)
	var binding *store.Binding
	if params.Body.VM != nil {
		binding = r.binding("vm", params.Body.VM)
	}
	if err := r.executorErr(config); err != nil {
		return nil, err
	}
	e, err := h.store.CreateExecutor(params.HTTPRequest.Context(), config, binding)
	if err != nil {
		return nil, err
	}
	return executors.NewCreateExecutorCreated().WithLocation(executorPath(e.Config.ID)).WithPayload(executorModel(e)), nil
}

func (h *executorHandlers) get(params executors.GetExecutorParams) (executors.GetExecutorResponder, error) {
	e, err := h.store.Executor(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return executors.NewGetExecutorOK().WithPayload(executorModel(e)), nil
}

func (h *executorHandlers) put(params executors.PutExecutorParams) (executors.PutExecutorResponder, error) {
	var r reader
	config := r.executor(params.Body)
	r.agree("id", &config.ID, params.ID)
	if params.Body.VM != nil {
		r.faults.Add("vm", "is accepted when an executor is created by POST: otherwise bind it with PUT "+executorPath(params.ID)+"/vm")
	}
	if err := r.executorErr(config); err != nil {
		return nil, err
	}
	e, created, err := h.store.PutExecutor(params.HTTPRequest.Context(), config)
	switch {
	case err != nil:
		return nil, err
	case created:
		return executors.NewPutExecutorCreated().WithLocation(executorPath(e.Config.ID)).WithPayload(executorModel(e)), nil
	}
	return executors.NewPutExecutorOK().WithPayload(executorModel(e)), nil
}

func (h *executorHandlers) delete(params executors.DeleteExecutorParams) (executors.DeleteExecutorResponder, error) {
	if err := h.store.DeleteExecutor(params.HTTPRequest.Context(), params.ID); err != nil {
		return nil, err
	}
	return executors.NewDeleteExecutorNoContent(), nil
}

// executorPath is where an executor is found. Ids have no character that a path would have to escape.
func executorPath(id string) string { return "/v1/executors/" + id }
