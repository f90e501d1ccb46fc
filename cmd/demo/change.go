package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/models"
)

// changed is the field that the demo changes.
const changed = "sessions." + executorID + ".cmd.env"

// delivery is what is known of one change.
type delivery struct {
	before, after map[string]string // what the VM held
	plan          *models.PushPlan  // what the dry run announced
	last          *models.LastPush  // what was sent
}

func (s *story) change(ctx context.Context) error {
	stage.Step("Change one field, the environment of a session, and see that no other key is sent.")
	var d *delivery
	for workers := range 10 {
		var err error
		if d, err = s.deliver(ctx, fmt.Sprintf("WORKERS=%d", workers+2)); err != nil {
			return err
		}
		if d.plan.Calls > 0 {
			stage.Say("dry run: would set %s (%d bytes) in one call, and leave %d alone", stage.Count(len(d.plan.Set), "key"), d.plan.Bytes, d.plan.Unchanged)
			break
		}
		// Changes are delivered without being asked for, and this one was before it could be asked about.
	}
	stage.Say("push: set %s and deleted %d, and these are all that differ in the VM:", stage.Count(int(d.last.KeysSet), "key"), d.last.KeysDeleted)
	var rows [][]string
	for _, key := range difference(d.before, d.after).keys() {
		rows = append(rows, []string{key, stage.Text(d.before[key]), "->", stage.Text(d.after[key])})
	}
	stage.Table(rows...)
	stage.Say("(Of a list, one key holds the index of its last element, and the one with ~ its elements.)")
	return nil
}

// deliver adds a variable to those that the executor was created with, and follows that into the VM.
func (s *story) deliver(ctx context.Context, variable string) (*delivery, error) {
	before, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	got, err := s.api.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID(executorID))
	if err != nil {
		return nil, fmt.Errorf("get the executor: %w", err)
	}
	e := got.Payload
	e.Sessions["web-1"].Cmd.Env = append(executor().Sessions["web-1"].Cmd.Env, variable)
	if _, _, err := s.api.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID(executorID).WithBody(e)); err != nil {
		return nil, fmt.Errorf("change the executor: %w", err)
	}
	plan, err := s.plan(ctx)
	if err != nil {
		return nil, err
	}
	last, err := s.pushed(ctx)
	if err != nil {
		return nil, err
	}
	after, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	reported, err := s.reported(ctx)
	if err != nil {
		return nil, err
	}
	d := &delivery{before: before, after: after, plan: plan, last: last}
	return d, errors.Join(checkVM(after, reported, s.others), d.check(reported))
}

// plan asks what a push would send.
func (s *story) plan(ctx context.Context) (*models.PushPlan, error) {
	dryRun := true
	answer, err := s.api.Push.PushContext(ctx, push.NewPushParams().WithID(executorID).WithDryRun(&dryRun))
	if err != nil {
		return nil, fmt.Errorf("dry run of a push: %w", err)
	}
	if answer.Payload.Plan == nil {
		return nil, errors.New("dry run of a push: the answer has no plan")
	}
	return answer.Payload.Plan, nil
}

// check holds what was announced and what was sent against what differs in the VM, and that against the one
// field that was changed. A plan that has nothing to do is right too: the change was delivered already.
func (d *delivery) check(reported []*models.KeyRow) error {
	differs := difference(d.before, d.after)
	planned := change{set: slices.Sorted(maps.Keys(values(d.plan.Set))), deleted: slices.Sorted(slices.Values(d.plan.Delete))}
	switch {
	case len(differs.set) == 0:
		return errors.New("the change did not reach the VM")
	case d.plan.Calls > 1 || d.plan.Calls == 1 && !planned.equal(differs):
		return fmt.Errorf("the dry run announced %q, and in the VM differ %q", planned.keys(), differs.keys())
	case int(d.last.KeysSet) != len(differs.set) || int(d.last.KeysDeleted) != len(differs.deleted):
		return fmt.Errorf("the push set %d keys and deleted %d, and in the VM differ %q", d.last.KeysSet, d.last.KeysDeleted, differs.keys())
	}
	for _, r := range reported {
		if slices.Contains(differs.set, r.Key) && r.Field != changed {
			return fmt.Errorf("%s was changed, and %s was sent, which is %s", changed, r.Key, r.Field)
		}
	}
	return nil
}
