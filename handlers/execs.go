package handlers

import (
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/execs"
)

type execHandlers struct {
	entries[*executor.SessionConfig, models.Session]
}

func (h *execHandlers) list(params execs.ListExecsParams) (execs.ListExecsResponder, error) {
	items, revision, err := h.entries.list(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return execs.NewListExecsOK().WithPayload(&models.SessionList{Items: items, Revision: revision}), nil
}

func (h *execHandlers) get(params execs.GetExecParams) (execs.GetExecResponder, error) {
	got, err := h.entries.get(params.HTTPRequest.Context(), params.ID, params.ExecID)
	switch {
	case err != nil:
		return nil, err
	case known(params.IfNoneMatch, got.tag):
		return execs.NewGetExecNotModified().WithETag(etag(got.tag)), nil
	}
	return execs.NewGetExecOK().WithETag(etag(got.tag)).WithPayload(got.model), nil
}

func (h *execHandlers) put(params execs.PutExecParams) (execs.PutExecResponder, error) {
	put, err := h.entries.put(params.HTTPRequest.Context(), params.ID, params.ExecID, params.Body, params.IfMatch, params.IfNoneMatch)
	switch {
	case err != nil:
		return nil, err
	case put.created:
		return execs.NewPutExecCreated().WithETag(etag(put.tag)).WithLocation(h.path(params.ID, params.ExecID)).WithPayload(put.model), nil
	}
	return execs.NewPutExecOK().WithETag(etag(put.tag)).WithPayload(put.model), nil
}

func (h *execHandlers) patch(params execs.PatchExecParams) (execs.PatchExecResponder, error) {
	patched, err := h.entries.patch(params.HTTPRequest.Context(), params.ID, params.ExecID, params.Body, params.IfMatch)
	if err != nil {
		return nil, err
	}
	return execs.NewPatchExecOK().WithETag(etag(patched.tag)).WithPayload(patched.model), nil
}

func (h *execHandlers) delete(params execs.DeleteExecParams) (execs.DeleteExecResponder, error) {
	if err := h.entries.delete(params.HTTPRequest.Context(), params.ID, params.ExecID, params.IfMatch); err != nil {
		return nil, err
	}
	return execs.NewDeleteExecNoContent(), nil
}
