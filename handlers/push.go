package handlers

import (
	"cmp"
	"context"
	"slices"

	"github.com/vmexecutor/config-server/audit"
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
	ctx, shown := params.HTTPRequest.Context(), scopes[*params.Scope]
	var set *models.KeySet
	var err error
	switch *params.View {
	case "observed":
		set, err = h.observed(ctx, params.ID, shown)
	case "diff":
		set, err = h.diff(ctx, params.ID, shown)
	default:
		set, err = h.desired(ctx, params.ID, shown)
	}
	if err != nil {
		return nil, err
	}
	return pushops.NewGetKeysOK().WithPayload(set), nil
}

func (h *pushHandlers) desired(ctx context.Context, id string, shown func(extraconfig.Pair) bool) (*models.KeySet, error) {
	e, err := h.store.Executor(ctx, id)
	if err != nil {
		return nil, err
	}
	keys, err := h.store.KeySet(e)
	if err != nil {
		return nil, err
	}
	set, w := &models.KeySet{ExecutorID: id, Revision: e.Revision, Keys: []*models.KeyRow{}}, writerFor(ctx, id)
	for p := range keys.Filter(shown).All() {
		set.Keys = append(set.Keys, w.keyRow(p))
	}
	return set, nil
}

func (h *pushHandlers) observed(ctx context.Context, id string, shown func(extraconfig.Pair) bool) (*models.KeySet, error) {
	x, err := h.reconciler.Explain(ctx, id)
	if err != nil {
		return nil, err
	}
	set, w := &models.KeySet{ExecutorID: id, Revision: x.Revision, Keys: []*models.KeyRow{}}, writerFor(ctx, id)
	for _, row := range x.Rows {
		if row.Observed != nil && shown(*row.Observed) {
			set.Keys = append(set.Keys, w.keyRow(*row.Observed))
		}
	}
	// A VM may spell keys in another case, which the rows are not ordered by.
	slices.SortFunc(set.Keys, func(a, b *models.KeyRow) int { return cmp.Compare(a.Key, b.Key) })
	return set, nil
}

func (h *pushHandlers) diff(ctx context.Context, id string, shown func(extraconfig.Pair) bool) (*models.KeySet, error) {
	x, err := h.reconciler.Explain(ctx, id)
	if err != nil {
		return nil, err
	}
	set, w := &models.KeySet{ExecutorID: id, Revision: x.Revision, Keys: []*models.KeyRow{}}, writerFor(ctx, id)
	for _, row := range x.Rows {
		if row.Why == "" {
			continue
		}
		if shown(*cmp.Or(row.Desired, row.Observed)) {
			set.Keys = append(set.Keys, w.diffRow(row))
		}
	}
	return set, nil
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
	if audit.Of(ctx).Outcome = audit.Done; status.State == push.StateFailed {
		audit.Of(ctx).Outcome = audit.Failed
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
	answer.Plan = writerFor(ctx, id).plan(plan)
	return pushops.NewPushOK().WithPayload(answer), nil
}
