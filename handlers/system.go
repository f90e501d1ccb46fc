package handlers

import (
	"errors"

	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/system"
	"github.com/vmexecutor/config-server/store"
)

// Version is what is known of the server's build.
type Version struct {
	Version    string
	Commit     string // revision of the source
	CommitTime string
	Modified   bool // the source had changes beyond Commit
	GoVersion  string
}

type systemHandlers struct {
	store *store.Store
	build Version
}

func (h *systemHandlers) version(system.GetVersionParams) (system.GetVersionResponder, error) {
	v := h.build
	return system.NewGetVersionOK().WithPayload(&models.ServerVersion{
		Version: v.Version, Commit: v.Commit, CommitTime: v.CommitTime, Modified: v.Modified, GoVersion: v.GoVersion,
	}), nil
}

func (h *systemHandlers) health(system.GetHealthParams) (system.GetHealthResponder, error) {
	return system.NewGetHealthOK().WithPayload(&models.Health{Status: "ok"}), nil
}

func (h *systemHandlers) ready(params system.GetReadinessParams) (system.GetReadinessResponder, error) {
	if _, err := h.store.Revision(params.HTTPRequest.Context()); err != nil {
		return nil, &notReadyError{err}
	}
	return system.NewGetReadinessOK().WithPayload(&models.Health{Status: "ok"}), nil
}

// errNotReady is a server that cannot answer, for a reason that is the operator's and not a client's to know.
var errNotReady = errors.New("the server cannot read its store")

type notReadyError struct{ err error }

func (e *notReadyError) Error() string   { return errNotReady.Error() }
func (e *notReadyError) Unwrap() []error { return []error{errNotReady, e.err} }
