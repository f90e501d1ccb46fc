package handlers

import (
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/endpoints"
)

type endpointHandlers struct {
	entries[*executor.NetworkEndpoint, models.Endpoint]
}

func (h *endpointHandlers) list(params endpoints.ListEndpointsParams) (endpoints.ListEndpointsResponder, error) {
	items, revision, err := h.entries.list(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return endpoints.NewListEndpointsOK().WithPayload(&models.EndpointList{Items: items, Revision: revision}), nil
}

func (h *endpointHandlers) get(params endpoints.GetEndpointParams) (endpoints.GetEndpointResponder, error) {
	got, err := h.entries.get(params.HTTPRequest.Context(), params.ID, params.Name)
	switch {
	case err != nil:
		return nil, err
	case known(params.IfNoneMatch, got.tag):
		return endpoints.NewGetEndpointNotModified().WithETag(etag(got.tag)), nil
	}
	return endpoints.NewGetEndpointOK().WithETag(etag(got.tag)).WithPayload(got.model), nil
}

func (h *endpointHandlers) put(params endpoints.PutEndpointParams) (endpoints.PutEndpointResponder, error) {
	put, err := h.entries.put(params.HTTPRequest.Context(), params.ID, params.Name, params.Body, params.IfMatch, params.IfNoneMatch)
	switch {
	case err != nil:
		return nil, err
	case put.created:
		return endpoints.NewPutEndpointCreated().WithETag(etag(put.tag)).WithLocation(h.path(params.ID, params.Name)).WithPayload(put.model), nil
	}
	return endpoints.NewPutEndpointOK().WithETag(etag(put.tag)).WithPayload(put.model), nil
}

func (h *endpointHandlers) patch(params endpoints.PatchEndpointParams) (endpoints.PatchEndpointResponder, error) {
	patched, err := h.entries.patch(params.HTTPRequest.Context(), params.ID, params.Name, params.Body, params.IfMatch)
	if err != nil {
		return nil, err
	}
	return endpoints.NewPatchEndpointOK().WithETag(etag(patched.tag)).WithPayload(patched.model), nil
}

func (h *endpointHandlers) delete(params endpoints.DeleteEndpointParams) (endpoints.DeleteEndpointResponder, error) {
	if err := h.entries.delete(params.HTTPRequest.Context(), params.ID, params.Name, params.IfMatch); err != nil {
		return nil, err
	}
	return endpoints.NewDeleteEndpointNoContent(), nil
}
