package handlers

import (
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/mounts"
)

type mountHandlers struct {
	entries[executor.MountSpec, models.Mount]
}

func (h *mountHandlers) list(params mounts.ListMountsParams) (mounts.ListMountsResponder, error) {
	items, revision, err := h.entries.list(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return mounts.NewListMountsOK().WithPayload(&models.MountList{Items: items, Revision: revision}), nil
}

func (h *mountHandlers) get(params mounts.GetMountParams) (mounts.GetMountResponder, error) {
	got, err := h.entries.get(params.HTTPRequest.Context(), params.ID, params.Name)
	switch {
	case err != nil:
		return nil, err
	case known(params.IfNoneMatch, got.tag):
		return mounts.NewGetMountNotModified().WithETag(etag(got.tag)), nil
	}
	return mounts.NewGetMountOK().WithETag(etag(got.tag)).WithPayload(got.model), nil
}

func (h *mountHandlers) put(params mounts.PutMountParams) (mounts.PutMountResponder, error) {
	put, err := h.entries.put(params.HTTPRequest.Context(), params.ID, params.Name, params.Body, params.IfMatch, params.IfNoneMatch)
	switch {
	case err != nil:
		return nil, err
	case put.created:
		return mounts.NewPutMountCreated().WithETag(etag(put.tag)).WithLocation(h.path(params.ID, params.Name)).WithPayload(put.model), nil
	}
	return mounts.NewPutMountOK().WithETag(etag(put.tag)).WithPayload(put.model), nil
}

func (h *mountHandlers) patch(params mounts.PatchMountParams) (mounts.PatchMountResponder, error) {
	patched, err := h.entries.patch(params.HTTPRequest.Context(), params.ID, params.Name, params.Body, params.IfMatch)
	if err != nil {
		return nil, err
	}
	return mounts.NewPatchMountOK().WithETag(etag(patched.tag)).WithPayload(patched.model), nil
}

func (h *mountHandlers) delete(params mounts.DeleteMountParams) (mounts.DeleteMountResponder, error) {
	if err := h.entries.delete(params.HTTPRequest.Context(), params.ID, params.Name, params.IfMatch); err != nil {
		return nil, err
	}
	return mounts.NewDeleteMountNoContent(), nil
}
