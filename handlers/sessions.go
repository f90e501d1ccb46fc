package handlers

import (
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/sessions"
)

type sessionHandlers struct {
	entries[*executor.SessionConfig, models.Session]
}

func (h *sessionHandlers) list(params sessions.ListSessionsParams) (sessions.ListSessionsResponder, error) {
	items, revision, err := h.entries.list(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return sessions.NewListSessionsOK().WithPayload(&models.SessionList{Items: items, Revision: revision}), nil
}

func (h *sessionHandlers) get(params sessions.GetSessionParams) (sessions.GetSessionResponder, error) {
	got, err := h.entries.get(params.HTTPRequest.Context(), params.ID, params.SessionID)
	switch {
	case err != nil:
		return nil, err
	case known(params.IfNoneMatch, got.tag):
		return sessions.NewGetSessionNotModified().WithETag(etag(got.tag)), nil
	}
	return sessions.NewGetSessionOK().WithETag(etag(got.tag)).WithPayload(got.model), nil
}

func (h *sessionHandlers) put(params sessions.PutSessionParams) (sessions.PutSessionResponder, error) {
	put, err := h.entries.put(params.HTTPRequest.Context(), params.ID, params.SessionID, params.Body, params.IfMatch, params.IfNoneMatch)
	switch {
	case err != nil:
		return nil, err
	case put.created:
		return sessions.NewPutSessionCreated().WithETag(etag(put.tag)).WithLocation(h.path(params.ID, params.SessionID)).WithPayload(put.model), nil
	}
	return sessions.NewPutSessionOK().WithETag(etag(put.tag)).WithPayload(put.model), nil
}

func (h *sessionHandlers) patch(params sessions.PatchSessionParams) (sessions.PatchSessionResponder, error) {
	patched, err := h.entries.patch(params.HTTPRequest.Context(), params.ID, params.SessionID, params.Body, params.IfMatch)
	if err != nil {
		return nil, err
	}
	return sessions.NewPatchSessionOK().WithETag(etag(patched.tag)).WithPayload(patched.model), nil
}

func (h *sessionHandlers) delete(params sessions.DeleteSessionParams) (sessions.DeleteSessionResponder, error) {
	if err := h.entries.delete(params.HTTPRequest.Context(), params.ID, params.SessionID, params.IfMatch); err != nil {
		return nil, err
	}
	return sessions.NewDeleteSessionNoContent(), nil
}
