package push

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
)

type (
	applyFunc  = func(*executor.ExecutorConfig) ([]string, error)
	reportFunc func(ctx context.Context, base map[string]string, apply applyFunc) (*store.Executor, error)
)

// accept takes what the guest reported, and the end of execs, into the store by way of report. Fields that would make the executor
// invalid are left out: they are drift, and the next change puts them back. The look goes on with the executor as it is then.
func (r *Reconciler) accept(ctx context.Context, l *look, report reportFunc) error {
	for len(l.reported)+len(l.ended) > 0 {
		if len(l.reported) == 0 { // that execs are over nobody said
			ctx = audit.From(ctx, audit.Server)
		}
		base := maps.Clone(l.e.Binding.Base)
		e, err := report(ctx, base, func(c *executor.ExecutorConfig) ([]string, error) { return r.takeReports(c, l, base) })
		var faults executor.Faults
		switch {
		case errors.As(err, &faults) && len(l.reported) > 0:
			l.reported = without(l.reported, faults)
			continue
		case err != nil:
			return err
		}
		return r.goOn(l, e, base)
	}
	return r.ask(l)
}

// goOn has the look go on with the executor that took what it found.
func (r *Reconciler) goOn(l *look, e *store.Executor, base map[string]string) error {
	accepted, binding := *e, *l.e.Binding
	if e.Binding != nil {
		binding = *e.Binding
	}
	binding.Base = base
	accepted.Binding = &binding
	l.e = &accepted
	return r.ask(l)
}

// report stores what the guest says: it is what the VM is compared with from now on.
func (r *Reconciler) report(id, instance string, seen store.Sighting) reportFunc {
	return func(ctx context.Context, base map[string]string, apply applyFunc) (*store.Executor, error) {
		return r.Store.Report(ctx, id, instance, base, seen, apply)
	}
}

// takeReports reads the reported fields onto c, but for those that a client changed since we looked, marks the execs that are over,
// and brings base up to date: it has the fields as they are written, which is not always how the guest wrote them.
func (r *Reconciler) takeReports(c *executor.ExecutorConfig, l *look, base map[string]string) ([]string, error) {
	codec, key := r.Store.Codec(), extraconfig.WithSecretKey(l.e.SecretKey)
	keys, err := codec.Encode(c, key)
	if err != nil {
		return nil, err
	}
	present := keys.Fields()
	for field := range l.reported { // this may not be the first try
		if base[field] = l.e.Binding.Base[field]; base[field] == "" {
			delete(base, field)
		}
	}
	take := func(field string) bool {
		return l.reported[field] != "" && present[field] == l.e.Binding.Base[field]
	}
	changed, err := codec.DecodeReports(c, l.observed.Map(), take)
	if err != nil && !errors.As(err, new(extraconfig.Errors)) {
		return nil, err
	}
	endExecs(c, l.ended, time.Now())
	c.Canonicalize()
	if keys, err = codec.Encode(c, key); err != nil {
		return changed, nil //nolint:nilerr // what cannot be encoded the store refuses, and names
	}
	written := keys.Fields()
	for _, field := range changed {
		if base[field] = written[field]; base[field] == "" {
			delete(base, field)
		}
	}
	return changed, nil
}

// without drops the fields that have faults, or all when none of them is to blame.
func without(fields map[string]string, faults executor.Faults) map[string]string {
	rest := maps.Clone(fields)
	maps.DeleteFunc(rest, func(field, _ string) bool {
		for _, f := range faults {
			if f.Field == field || strings.HasPrefix(f.Field, field+".") {
				return true
			}
		}
		return false
	})
	if len(rest) == len(fields) {
		return nil
	}
	return rest
}
