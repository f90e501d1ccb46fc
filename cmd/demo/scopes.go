package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/models"
)

// meaning says what a scope is, in the order that they are printed.
var meaning = []struct{ scope, means string }{
	{models.KeyRowScopeHidden, "the guest CANNOT SEE them"},
	{models.KeyRowScopeReadDashOnly, "the guest SEES them, and cannot change them"},
	{models.KeyRowScopeReadDashWrite, "the guest SEES them, and sets them to report back"},
}

func (s *story) show(ctx context.Context) error {
	stage.Step("Read the VM back over the vSphere API, past the server: what it holds, and who sees it.")
	held, err := s.held(ctx)
	if err != nil {
		return err
	}
	reported, err := s.reported(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(checkVM(held, reported, s.others), checkScopes(reported)); err != nil {
		return err
	}
	for _, m := range meaning {
		rows, more := [][]string{}, 0
		for _, r := range reported {
			switch {
			case r.Scope != m.scope:
			case shown[r.Key]:
				rows = append(rows, []string{r.Key, stage.Text(held[r.Key])})
			default:
				more++
			}
		}
		if len(rows) == 0 {
			return fmt.Errorf("the VM holds no key of the scope %s that the demo shows", m.scope)
		}
		stage.Say("%-10s  %3d keys: %s", m.scope, len(rows)+more, m.means)
		stage.Table(append(rows, []string{fmt.Sprintf("and %d more", more)})...)
	}
	stage.Say("other tools' %d keys are left alone: %s", len(s.others), strings.Join(slices.Sorted(maps.Keys(s.others)), ", "))
	stage.Say("The VM holds these %d keys and no others, each as GET /v1/executors/%s/keys reports it.", len(held), executorID)
	return nil
}
