package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	apierrors "github.com/go-openapi/errors"
	"github.com/go-openapi/runtime"
	"github.com/go-openapi/runtime/middleware"
	"github.com/go-openapi/strfmt"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store"
)

// validatable is what every model is: the specification's constraints can be asked of it.
type validatable interface{ Validate(strfmt.Registry) error }

// violations are what the specification has against a document. The generated code looks no further than the first entry of a map, or item of a
// list, that it does not like: the domain has all of them.
func violations(m validatable) (faults executor.Faults) {
	err := m.Validate(strfmt.Default)
	if err == nil {
		return nil
	}
	for _, e := range flatten(err) {
		fault, _ := violation(e) // it is one
		faults = append(faults, fault.Fault)
	}
	return faults
}

// refusedDocument is a document that can be read, and that the specification refuses.
type refusedDocument struct {
	document any
	faults   executor.Faults
}

func (e *refusedDocument) Error() string { return e.faults.Error() }

// documentJSON is strictJSON that keeps hold of what the specification refuses. The generated code, which would refuse it next, does not: no handler
// would get to say what else is wrong.
var documentJSON = runtime.ConsumerFunc(func(r io.Reader, v any) error {
	if err := strictJSON.Consume(r, v); err != nil {
		return err
	}
	if m, ok := v.(validatable); ok { // a patch is not
		if faults := violations(m); len(faults) > 0 {
			return &refusedDocument{v, faults}
		}
	}
	return nil
})

// documents are the operations that take one, asked for all that is wrong with it.
type documents struct {
	problems
	executors *executorHandlers
	vm        *vmHandlers
	sessions  *sessionHandlers
	execs     *execHandlers
	mounts    *mountHandlers
	endpoints *endpointHandlers
}

// serve answers for a request that the generated code refused. It implements ServeError of the generated API.
func (d *documents) serve(w http.ResponseWriter, r *http.Request, err error) {
	for _, e := range flatten(err) {
		parse, ok := errors.AsType[*apierrors.ParseError](e)
		if !ok {
			continue
		}
		refused, ok := errors.AsType[*refusedDocument](parse.Reason)
		if !ok {
			continue
		}
		if faults, ok := errors.AsType[executor.Faults](d.check(r, refused.document)); ok {
			refused.faults = faults
		}
	}
	d.problems.serve(w, r, err)
}

// check is what the operation of a request would say of its document.
func (d *documents) check(r *http.Request, document any) (err error) {
	ctx, in := r.Context(), middleware.MatchedRouteFrom(r).Params
	id, name := in.Get("id"), in.Get("name")
	switch m := document.(type) {
	case *models.Executor:
		if id == "" {
			_, _, err = d.executors.read(ctx, m)
		} else {
			_, err = d.executors.readNamed(ctx, m, id)
		}
	case *models.Network:
		_, err = readNetwork(m, name)
	case *models.VMBinding:
		_, err = d.vm.read(m, id)
	case *models.Session:
		if exec := in.Get("execId"); exec != "" {
			return d.execs.check(ctx, id, exec, m)
		}
		return d.sessions.check(ctx, id, in.Get("sessionId"), m)
	case *models.Mount:
		return d.mounts.check(ctx, id, name, m)
	case *models.Endpoint:
		return d.endpoints.check(ctx, id, name, m)
	}
	return err
}

// check is what put would say of an entry.
func (h *entries[D, M]) check(ctx context.Context, id, name string, m *M) error {
	c := &executor.ExecutorConfig{Common: executor.Common{ID: id}}
	if e, err := h.store.Executor(ctx, id); err == nil {
		c = e.Config.Clone()
	}
	return h.own(name, lacking(ctx, h.store, c, h.set(c, name, m)))
}

// lacking adds, to what is wrong with an executor, the container networks that it refers to and that are not there: what has other faults
// does not come to the store, which would say so. It reads the store, and is not for what runs in a change of it.
func lacking(ctx context.Context, s *store.Store, c *executor.ExecutorConfig, err error) error {
	faults, ok := errors.AsType[executor.Faults](err)
	if !ok || c == nil {
		return err
	}
	r := reader{faults: faults}
	var found executor.Faults
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		ref := c.Networks[name].NetworkRef
		if ref == "" || !executor.ValidName(ref) {
			continue
		}
		if _, err := s.Network(ctx, ref); errors.Is(err, store.ErrNotFound) {
			found.Add(executor.Path("networks", name, "networkRef"), fmt.Sprintf("there is no container network %q", ref))
		}
	}
	r.add("", found)
	return r.err()
}
