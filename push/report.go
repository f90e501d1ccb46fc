package push

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
)

// reports finds the read-write fields that the guest has set: those whose value in the VM differs
// from the base (what was last pushed or accepted), unless a client changed the field since. With no
// base there are none: at the first bind the store wins. Absence is never a report.
func reports(e *store.Executor, base map[string]string, observed, desired extraconfig.KeySet) map[string]string {
	if base == nil {
		return nil
	}
	var found map[string]string
	want := desired.Fields()
	for field, digest := range observed.Fields() {
		if digest == want[field] || digest == base[field] || want[field] != base[field] || follows(e.Config, field) {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[field] = digest
	}
	return found
}

// follows reports whether a field is a container network's and so not the guest's to set.
func follows(c *executor.ExecutorConfig, field string) bool {
	name, ok := strings.CutPrefix(field, "networks.")
	if !ok {
		return false
	}
	name, ok = strings.CutSuffix(name, ".network.type")
	if !ok {
		return false
	}
	endpoint := c.Networks[name]
	return endpoint != nil && endpoint.NetworkRef != ""
}

// accept puts the guest's reports into the store. Fields that do not parse, or would make the executor
// invalid, are left out: they are drift, and the next change puts them back. It answers a nil executor
// when the binding went away meanwhile.
func (r *Reconciler) accept(ctx context.Context, e *store.Executor, base map[string]string, v *view) (*store.Executor, map[string]string, error) {
	fields := v.reported
	for len(fields) > 0 {
		accepted := maps.Clone(base)
		maps.Copy(accepted, fields)
		next, err := r.Store.Report(ctx, e.Config.ID, e.Binding.Instance, accepted, func(c *executor.ExecutorConfig) ([]string, error) {
			return r.decodeReports(c, e.SecretKey, base, v.observed, fields)
		})
		var faults executor.Faults
		switch {
		case errors.As(err, &faults):
			r.Logger.Warn("guest reported values that cannot be", "executor", e.Config.ID, "error", faults)
			fields = without(fields, faults)
			continue
		case isGone(err):
			return nil, nil, nil
		case err != nil:
			return nil, nil, err
		}
		return next, accepted, nil
	}
	return e, base, nil
}

// decodeReports reads the fields onto c, but for those that a client changed since we looked.
func (r *Reconciler) decodeReports(c *executor.ExecutorConfig, secretKey []byte, base map[string]string, observed extraconfig.KeySet, fields map[string]string) ([]string, error) {
	now, err := r.Store.Codec().Encode(c, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		return nil, err
	}
	present := now.Fields()
	changed, err := r.Store.Codec().DecodeReports(c, observed.Map(), func(field string) bool {
		_, reported := fields[field]
		return reported && present[field] == base[field]
	})
	var unparsable extraconfig.Errors
	if errors.As(err, &unparsable) {
		return changed, nil // each is drift of that field alone
	}
	return changed, err
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
