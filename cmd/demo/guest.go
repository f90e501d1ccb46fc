package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/client/vm"
	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/models"
)

// guestID is the executor whose guest the demo plays.
const guestID = "worker-1"

const (
	hostnameKey = "guestinfo.vice./hostname"
	startedKey  = "guestinfo.vice..sessions|main.started"
)

// beGuest is the same from the inside of a VM that has no vSphere: one of QEMU, say, which would have the socket as a port.
func (s *story) beGuest(ctx context.Context) error {
	stage.Step("Be the guest of another executor, on the socket that QEMU would connect its VM to, with the real guest command.")
	doc := &models.Executor{
		ID: guestID, Hostname: guestID, Notes: "ask the shop team before a restart",
		Sessions: map[string]*models.Session{"main": {Active: true, Cmd: &models.Cmd{Path: "/bin/worker", Args: []string{"worker", "-v"}}}},
		VM:       &models.VMBinding{Driver: models.VMBindingDriverQemu, Ref: "worker"},
	}
	if _, err := s.api.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(doc)); err != nil {
		return fmt.Errorf("create %s: %w", guestID, err)
	}
	if _, err := s.api.Push.PushContext(ctx, push.NewPushParams().WithID(guestID)); err != nil {
		return fmt.Errorf("push %s: %w", guestID, err)
	}
	binding, err := s.api.VM.GetVMContext(ctx, vm.NewGetVMParams().WithID(guestID))
	if err != nil {
		return fmt.Errorf("get the binding of %s: %w", guestID, err)
	}
	g := &insider{binary: s.tether, socket: binding.Payload.Socket}
	stage.Say("GET /v1/executors/%s/vm: its socket is %s", guestID, g.socket)
	for _, part := range []func(context.Context, *insider) error{s.list, s.refuse, s.report, s.follow} {
		if err := part(ctx, g); err != nil {
			return err
		}
	}
	if _, err := s.api.Executors.DeleteExecutorContext(ctx, executors.NewDeleteExecutorParams().WithID(guestID)); err != nil {
		return fmt.Errorf("delete %s: %w", guestID, err)
	}
	return nil
}

// insider is the guest.
type insider struct{ binary, socket string }

// run runs the guest command, as somebody logged in to the VM would.
func (g *insider) run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, g.binary, append([]string{"--channel", "unix:" + g.socket}, args...)...).CombinedOutput() //nolint:gosec // ours
	text := strings.TrimSpace(string(out))
	if err != nil && text != "" {
		err = errors.New(text)
	}
	return text, err
}

// list holds what the guest sees against what the server says that it sees.
func (s *story) list(ctx context.Context, g *insider) error {
	out, err := g.run(ctx, "list")
	if err != nil {
		return fmt.Errorf("tether list: %w", err)
	}
	scope := "guest"
	answer, err := s.api.Push.GetKeysContext(ctx, push.NewGetKeysParams().WithID(guestID).WithScope(&scope))
	if err != nil {
		return fmt.Errorf("get the keys of %s: %w", guestID, err)
	}
	var want strings.Builder
	for _, row := range answer.Payload.Keys {
		fmt.Fprintln(&want, row.Key, "=", row.Value)
	}
	if strings.TrimSpace(want.String()) != out {
		return fmt.Errorf("the guest lists\n%s\nand GET /keys says that it sees\n%s", out, want.String())
	}
	stage.Say("tether list: %s, exactly those of GET /keys?scope=guest; the notes are not among them.", stage.Count(len(answer.Payload.Keys), "key"))
	return nil
}

// refuse has the guest try what it may not.
func (s *story) refuse(ctx context.Context, g *insider) error {
	_, err := g.run(ctx, "set", hostnameKey, "mine")
	if err == nil {
		return errors.New("the guest could set its hostname")
	}
	stage.Say("tether set %s mine: %s", hostnameKey, strings.TrimPrefix(err.Error(), "tether: "))
	return nil
}

// report has the guest set what it may.
func (s *story) report(ctx context.Context, g *insider) error {
	if _, err := g.run(ctx, "set", startedKey, "true"); err != nil {
		return fmt.Errorf("tether set: %w", err)
	}
	answer, err := s.api.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID(guestID))
	if err != nil {
		return fmt.Errorf("get %s: %w", guestID, err)
	}
	if started := answer.Payload.Sessions["main"].Started; started != "true" {
		return fmt.Errorf("the guest was told that its report is stored, and started is %q", started)
	}
	stage.Say("tether set %s true: the executor has it.", startedKey)
	return nil
}

// follow changes something, and has the guest read it.
func (s *story) follow(ctx context.Context, g *insider) error {
	got, err := s.api.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID(guestID))
	if err != nil {
		return fmt.Errorf("get %s: %w", guestID, err)
	}
	got.Payload.Hostname = "worker-2"
	if _, _, err := s.api.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID(guestID).WithBody(got.Payload)); err != nil {
		return fmt.Errorf("change %s: %w", guestID, err)
	}
	out, err := g.run(ctx, "get", hostnameKey)
	if err != nil || out != "worker-2" {
		return fmt.Errorf("the hostname was changed, and the guest reads %q: %w", out, err)
	}
	stage.Say("PUT hostname worker-2, tether get %s: %s", hostnameKey, out)
	return nil
}
