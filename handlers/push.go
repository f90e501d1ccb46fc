package handlers

import (
	"context"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/push"
	pushops "github.com/vmexecutor/config-server/restapi/operations/push"
	"github.com/vmexecutor/config-server/store"
)

type pushHandlers struct {
	store      *store.Store
	reconciler *push.Reconciler
}

// scopes says which pairs each word of the query means.
var scopes = map[string]func(extraconfig.Pair) bool{
	"all":        func(extraconfig.Pair) bool { return true },
	"guest":      func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() },
	"hidden":     func(p extraconfig.Pair) bool { return p.Scope() == extraconfig.Hidden },
	"read-only":  func(p extraconfig.Pair) bool { return p.Scope() == extraconfig.ReadOnly },
	"read-write": func(p extraconfig.Pair) bool { return p.Scope() == extraconfig.ReadWrite },
}

func (h *pushHandlers) keys(params pushops.GetKeysParams) (pushops.GetKeysResponder, error) {
	e, err := h.store.Executor(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	keys, err := h.store.KeySet(e)
	if err != nil {
		return nil, err
	}
	rows := []*models.KeyRow{}
	for p := range keys.Filter(scopes[*params.Scope]).All() {
		rows = append(rows, keyRow(p))
	}
	return pushops.NewGetKeysOK().WithPayload(&models.KeySet{ExecutorID: e.Config.ID, Revision: e.Revision, Keys: rows}), nil
}

func (h *pushHandlers) status(params pushops.GetStatusParams) (pushops.GetStatusResponder, error) {
	status, err := h.reconciler.Status(params.HTTPRequest.Context(), params.ID)
	if err != nil {
		return nil, err
	}
	return pushops.NewGetStatusOK().WithPayload(statusModel(status)), nil
}

func (h *pushHandlers) push(params pushops.PushParams) (pushops.PushResponder, error) {
	ctx := params.HTTPRequest.Context()
	if *params.DryRun {
		return h.dryRun(ctx, params.ID)
	}
	status, err := h.reconciler.Push(ctx, params.ID)
	if err != nil {
		return nil, err
	}
	return pushops.NewPushOK().WithPayload(statusModel(status)), nil
}

func (h *pushHandlers) dryRun(ctx context.Context, id string) (pushops.PushResponder, error) {
	plan, err := h.reconciler.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	status, err := h.reconciler.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	answer := statusModel(status)
	answer.Plan = planModel(plan)
	return pushops.NewPushOK().WithPayload(answer), nil
}
