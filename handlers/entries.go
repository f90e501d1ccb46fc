package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store"
)

// kind is one of an executor's maps, whose entries are resources of their own: D is an entry in the domain, M in the API.
type kind[D, M any] struct {
	name     string                                       // of the map, in paths and documents
	of       func(*executor.ExecutorConfig) *map[string]D // the map
	key      func(*M) (field string, value *string)       // the field that repeats the entry's name
	revision func(*M) *uint64
	read     func(r *reader, at string, m *M) D  // converts
	write    func(w writer, d D, name string) *M // converts back
}

var (
	sessionKind = kind[*executor.SessionConfig, models.Session]{
		name: "sessions", read: readSession, write: writer.session,
		of:       func(c *executor.ExecutorConfig) *map[string]*executor.SessionConfig { return &c.Sessions },
		key:      func(m *models.Session) (string, *string) { return "id", &m.ID },
		revision: func(m *models.Session) *uint64 { return &m.Revision },
	}
	execKind = kind[*executor.SessionConfig, models.Session]{
		name: "execs", read: readSession, write: writer.session,
		of:       func(c *executor.ExecutorConfig) *map[string]*executor.SessionConfig { return &c.Execs },
		key:      func(m *models.Session) (string, *string) { return "id", &m.ID },
		revision: func(m *models.Session) *uint64 { return &m.Revision },
	}
	mountKind = kind[executor.MountSpec, models.Mount]{
		name: "mounts", read: readMount, write: writer.mount,
		of:       func(c *executor.ExecutorConfig) *map[string]executor.MountSpec { return &c.Mounts },
		key:      func(m *models.Mount) (string, *string) { return "name", &m.Name },
		revision: func(m *models.Mount) *uint64 { return &m.Revision },
	}
	endpointKind = kind[*executor.NetworkEndpoint, models.Endpoint]{
		name: "networks", read: readEndpoint, write: writer.endpoint,
		of:       func(c *executor.ExecutorConfig) *map[string]*executor.NetworkEndpoint { return &c.Networks },
		key:      func(m *models.Endpoint) (string, *string) { return "name", &m.Name },
		revision: func(m *models.Endpoint) *uint64 { return &m.Revision },
	}
)

// tag gives the tag of an entry.
func (k *kind[D, M]) tag(e *store.Executor, name string) (store.Tag, bool) {
	return e.Entry(k.name + "/" + name)
}

// model gives an entry as w writes it, and its tag; false when there is none.
func (k *kind[D, M]) model(w writer, e *store.Executor, name string) (*M, store.Tag, bool) {
	tag, ok := k.tag(e, name)
	if !ok {
		return nil, tag, false
	}
	m := k.write(w, (*k.of(e.Config))[name], name)
	*k.revision(m) = tag.Revision
	return m, tag, true
}

// entryModels gives the whole map.
func entryModels[D, M any](w writer, c *executor.ExecutorConfig, k kind[D, M]) map[string]*M {
	entries := *k.of(c)
	out := make(map[string]*M, len(entries))
	for name, entry := range entries {
		out[name] = k.write(w, entry, name)
	}
	return out
}

func setRevisions[D, M any](e *store.Executor, k kind[D, M], models map[string]*M) {
	for name, m := range models {
		tag, _ := k.tag(e, name)
		*k.revision(m) = tag.Revision
	}
}

// readEntries reads the whole map.
func readEntries[D, M any](r *reader, k kind[D, M], m map[string]*M) map[string]D {
	if !r.few(k.name, len(m)) {
		return nil
	}
	out := make(map[string]D, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out[name] = readEntry(r, k, executor.Path(k.name, name), name, m[name])
	}
	return out
}

// readEntry reads one entry, which may be named in the document as well.
func readEntry[D, M any](r *reader, k kind[D, M], at, name string, m *M) D {
	field, value := k.key(m)
	r.agree(executor.Path(at, field), value, name)
	return k.read(r, at, m)
}

// entries are the operations on one of the maps. Each is one atomic change of its executor.
type entries[D, M any] struct {
	kind[D, M]
	store   *store.Store
	reports reportPaths
}

func newEntries[D, M any](k kind[D, M], s *store.Store, reports reportPaths) entries[D, M] {
	return entries[D, M]{kind: k, store: s, reports: reports}
}

// state is an entry, or another resource, as an operation found or left it.
type state[M any] struct {
	model   *M
	tag     store.Tag
	created bool
}

func (h *entries[D, M]) path(id, name string) string {
	return executorPath(id) + "/" + h.name + "/" + name
}

// state gives an entry of an executor, for the caller whose request ctx is of.
func (h *entries[D, M]) state(ctx context.Context, e *store.Executor, name string) (state[M], error) {
	model, tag, ok := h.model(writerFor(ctx, e.Config.ID), e, name)
	if !ok {
		return state[M]{}, h.missing(e.Config.ID, name)
	}
	return state[M]{model: model, tag: tag}, nil
}

func (h *entries[D, M]) missing(id, name string) error {
	return fmt.Errorf("%s of executor %q has no %q: %w", h.name, id, name, store.ErrNotFound)
}

func (h *entries[D, M]) list(ctx context.Context, id string) ([]*M, uint64, error) {
	e, err := h.store.Executor(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	items, w := []*M{}, writerFor(ctx, id)
	for _, name := range slices.Sorted(maps.Keys(*h.of(e.Config))) {
		model, _, _ := h.model(w, e, name)
		items = append(items, model)
	}
	return items, e.Revision, nil
}

func (h *entries[D, M]) get(ctx context.Context, id, name string) (state[M], error) {
	e, err := h.store.Executor(ctx, id)
	if err != nil {
		return state[M]{}, err
	}
	return h.state(ctx, e, name)
}

// put replaces an entry, or creates it.
func (h *entries[D, M]) put(ctx context.Context, id, name string, m *M, ifMatch, ifNoneMatch *string) (state[M], error) {
	options, err := conditions(h.name+"/"+name, ifMatch, ifNoneMatch, false)
	if err != nil {
		return state[M]{}, err
	}
	created := false
	var tried *executor.ExecutorConfig
	e, err := h.store.UpdateExecutor(ctx, id, func(c *executor.ExecutorConfig) error {
		_, found := (*h.of(c))[name]
		created, tried = !found, c
		return h.set(c, name, m)
	}, append(options, store.KeepReports())...)
	return h.changed(ctx, e, name, created, lacking(ctx, h.store, tried, err))
}

// patch changes some fields of an entry.
func (h *entries[D, M]) patch(ctx context.Context, id, name string, body json.RawMessage, ifMatch *string) (state[M], error) {
	patch, err := tree(body)
	if err != nil {
		return state[M]{}, err
	}
	options, err := conditions(h.name+"/"+name, ifMatch, nil, h.reports.named(patch, h.name, name))
	if err != nil {
		return state[M]{}, err
	}
	var tried *executor.ExecutorConfig
	e, err := h.store.UpdateExecutor(ctx, id, func(c *executor.ExecutorConfig) error {
		tried = c
		entry, found := (*h.of(c))[name]
		if !found {
			return h.missing(id, name)
		}
		m, err := patched(h.write(inFull, entry, name), body, patch)
		if err != nil {
			return err
		}
		return h.set(c, name, m)
	}, options...)
	return h.changed(ctx, e, name, false, h.present(id, name, lacking(ctx, h.store, tried, err)))
}

func (h *entries[D, M]) delete(ctx context.Context, id, name string, ifMatch *string) error {
	options, err := conditions(h.name+"/"+name, ifMatch, nil, false)
	if err != nil {
		return err
	}
	_, err = h.store.UpdateExecutor(ctx, id, func(c *executor.ExecutorConfig) error {
		if _, found := (*h.of(c))[name]; !found {
			return h.missing(id, name)
		}
		delete(*h.of(c), name)
		return nil
	}, options...)
	return h.present(id, name, err)
}

// present tells a caller who expected an entry in some state, when there is none, that there is none.
func (h *entries[D, M]) present(id, name string, err error) error {
	if stale, ok := errors.AsType[*store.PreconditionError](err); ok && stale.Missing {
		return h.missing(id, name)
	}
	return err
}

// set puts an entry into an executor. What cannot be read is told with what the domain finds wrong with the rest.
func (h *entries[D, M]) set(c *executor.ExecutorConfig, name string, m *M) error {
	var r reader
	at := executor.Path(h.name, name)
	r.validate(at, any(m).(validatable))
	entry := readEntry(&r, h.kind, at, name, m)
	if *h.of(c) == nil {
		*h.of(c) = map[string]D{}
	}
	(*h.of(c))[name] = entry
	return r.executorErr(c, nil)
}

// changed is the outcome of a write.
func (h *entries[D, M]) changed(ctx context.Context, e *store.Executor, name string, created bool, err error) (state[M], error) {
	if err != nil {
		return state[M]{}, h.own(name, err)
	}
	s, err := h.state(ctx, e, name)
	s.created = created
	return s, err
}

// own tells the faults of an entry as those of its own document.
func (h *entries[D, M]) own(name string, err error) error {
	faults, ok := errors.AsType[executor.Faults](err)
	if !ok {
		return err
	}
	own := make(executor.Faults, len(faults))
	for i, f := range faults {
		own[i] = f
		if at, ok := strings.CutPrefix(f.Field+".", executor.Path(h.name, name)+"."); ok {
			own[i].Field = strings.TrimSuffix(at, ".")
		}
	}
	return own
}
