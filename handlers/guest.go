package handlers

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store"
)

// What a VM's guest gets of the operations that it has: its own keys of the scopes that it can see, and a PATCH of its own
// reports. Whatever it might find out beyond that by asking is refused before it is looked at, and not by what is there.

// guestQueries are the parameters that a guest may use, and their values. A parameter that says what is shown must be there.
var guestQueries = map[string]map[string][]string{
	"getKeys": {"scope": {"guest", "read-only", "read-write"}, "view": {"desired", ""}}, // absent: desired
}

// guestQuery says what of a query a guest may not ask for.
func guestQuery(operation string, r *http.Request) (faults executor.Faults) {
	query, allowed := r.URL.Query(), guestQueries[operation]
	for name := range query {
		if allowed[name] == nil {
			faults.Add(name, "is not for the guest of a VM")
		}
	}
	for name, values := range allowed {
		if !slices.Contains(values, query.Get(name)) {
			faults.Add(name, "must be one of: "+strings.TrimSpace(strings.Join(values, " ")))
		}
	}
	return ordered(faults)
}

func ordered(faults executor.Faults) executor.Faults {
	slices.SortFunc(faults, func(a, b executor.Fault) int { return cmp.Compare(a.Field, b.Field) })
	return faults
}

// deniedError is a request that its caller may make, with a part that it may not.
type deniedError struct{ faults executor.Faults }

func (e *deniedError) Error() string { return e.faults.Error() }

func (e *deniedError) problem() *models.Problem {
	p := problem(http.StatusForbidden, "", "the request is more than this caller may do: "+e.Error())
	p.Errors = fieldErrors(e.faults)
	return p
}

// guestPatch refuses a merge patch by which a guest would set what it does not report, or make an entry. It goes by what the patch names
// and not by what it would change: whoever may try a value until nothing changes can find it out.
func (p reportPaths) guestPatch(patch any, document *models.Executor) error {
	text := &bytes.Buffer{}
	if err := plainJSON.Produce(text, document); err != nil {
		return err
	}
	present, err := tree(text.Bytes())
	if err != nil {
		return err
	}
	var faults executor.Faults
	p.others(patch, present, nil, &faults)
	if len(faults) == 0 {
		return nil
	}
	return &deniedError{ordered(faults)}
}

// others finds what a patch names that is no read-write field of an entry that there is.
func (p reportPaths) others(patch, document any, at []string, faults *executor.Faults) {
	below, whole, entries := p.below(at)
	changes, isObject := patch.(map[string]any)
	switch {
	case whole:
		return
	case len(below) == 0 || !isObject:
		faults.Add(executor.Path(at...), "is not a field that the guest of a VM reports")
		return
	}
	present, _ := document.(map[string]any)
	for name, value := range changes {
		path := append(slices.Clone(at), name)
		if _, found := present[name]; entries && !found {
			faults.Add(executor.Path(path...), "is not an entry that there is")
			continue
		}
		below.others(value, present[name], path, faults)
	}
}

// guest is an executor as its guest sees it: what the keys say that it can read.
func (w writer) guest(s *store.Store, e *store.Executor) (*models.Executor, error) {
	keys, err := s.KeySet(e)
	if err != nil {
		return nil, err
	}
	visible := keys.Filter(func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() })
	config, err := s.Codec().Decode(visible.Map(), extraconfig.WithSecretKey(e.SecretKey))
	if err != nil {
		return nil, err
	}
	m := w.config(config)
	m.Revision = e.Revision
	return m, nil
}

// isGuest reports whether a request is one of a VM's guest.
func isGuest(r *http.Request) bool { return auth.PrincipalOf(r.Context()).Role == auth.VM }
