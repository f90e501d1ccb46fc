package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/push"
	vmops "github.com/vmexecutor/config-server/restapi/operations/vm"
	"github.com/vmexecutor/config-server/store"
)

type vmHandlers struct {
	store      *store.Store
	reconciler *push.Reconciler
}

func (h *vmHandlers) get(params vmops.GetVMParams) (vmops.GetVMResponder, error) {
	e, err := h.store.Executor(params.HTTPRequest.Context(), params.ID)
	switch {
	case err != nil:
		return nil, err
	case e.Binding == nil:
		return nil, noBinding(params.ID)
	case known(params.IfNoneMatch, e.Binding.Tag()):
		return vmops.NewGetVMNotModified().WithETag(etag(e.Binding.Tag())), nil
	}
	return vmops.NewGetVMOK().WithETag(etag(e.Binding.Tag())).WithPayload(h.model(params.HTTPRequest.Context(), e)), nil
}

func (h *vmHandlers) put(params vmops.PutVMParams) (vmops.PutVMResponder, error) {
	options, err := conditions("", params.IfMatch, params.IfNoneMatch, false)
	if err != nil {
		return nil, err
	}
	binding, err := h.read(params.Body, params.ID)
	if err != nil {
		return nil, err
	}
	binding.TakeOver = *params.TakeOver
	ctx := params.HTTPRequest.Context()
	if !auth.PrincipalOf(ctx).MovesSecrets() {
		options = append(options, store.KeepSecrets())
	}
	e, created, err := h.store.Bind(ctx, params.ID, *binding, options...)
	switch {
	case err != nil:
		return nil, err
	case created:
		return vmops.NewPutVMCreated().WithETag(etag(e.Binding.Tag())).WithLocation(executorPath(params.ID) + "/vm").WithPayload(h.model(ctx, e)), nil
	}
	return vmops.NewPutVMOK().WithETag(etag(e.Binding.Tag())).WithPayload(h.model(ctx, e)), nil
}

func (h *vmHandlers) delete(params vmops.DeleteVMParams) (vmops.DeleteVMResponder, error) {
	options, err := conditions("", params.IfMatch, nil, false)
	if err != nil {
		return nil, err
	}
	err = h.store.Unbind(params.HTTPRequest.Context(), params.ID, options...)
	switch {
	case errors.Is(err, store.ErrUnbound):
		return nil, noBinding(params.ID)
	case err != nil:
		return nil, err
	}
	return vmops.NewDeleteVMNoContent(), nil
}

// read reads the binding of an executor.
func (h *vmHandlers) read(m *models.VMBinding, id string) (*store.Binding, error) {
	var r reader
	r.validate("", m)
	binding := r.binding("", m)
	r.check("", func() error { return h.reconciler.CheckBinding(binding, id) })
	return binding, r.bindingErr(binding)
}

// model is the binding of an executor, and where its guest is served.
func (h *vmHandlers) model(ctx context.Context, e *store.Executor) *models.VMBinding {
	m := writerFor(ctx, e.Config.ID).binding(e.Binding)
	m.Socket = h.reconciler.GuestSocket(e.Binding.Driver, e.Config.ID)
	return m
}

// noBinding is the failure of asking for a resource that is not there; to the store an unbound executor is a state.
func noBinding(id string) error {
	return fmt.Errorf("VM binding of executor %q: %w", id, store.ErrNotFound)
}
