package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/cmd/internal/qemu"
	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/models"
)

// The names that the demo uses.
const (
	network = "front"
	web     = "web-1"
)

// card is the VM's network card, with a network behind it that QEMU makes up.
var card = qemu.NIC{Slot: 3, MAC: "52:54:00:00:00:01", Backend: "user"}

func demoExecutor() *models.Executor {
	return &models.Executor{
		ID: web, Name: "web", Hostname: "web-1", Notes: "no guest sees this",
		Sessions: map[string]*models.Session{web: {Active: true, StopSignal: "SIGTERM", Cmd: &models.Cmd{
			Path: "/bin/sh", Env: []string{"GREETING=good morning"},
			Args: []string{"sh", "-c", `trap 'echo "asked to stop"; exit 3' TERM; echo "$GREETING from $(hostname), a VM with Linux $(uname -r)"; while :; do sleep 1; done`},
		}}},
		Networks: map[string]*models.Endpoint{"eth0": {
			ID: "3", NetworkRef: network, Static: true, IP: "10.1.0.2/16", Network: &models.EndpointNetwork{Default: true},
		}},
	}
}

// tell is the story between the server's start and its end.
func (s *site) tell(ctx context.Context) (err error) {
	stage.Step("Create a container network, and an executor that joins it and is delivered to a VM of QEMU.")
	front := &models.Network{Name: network, Gateway: "10.1.0.1/16", Nameservers: []string{"10.1.0.53"}}
	if _, err := s.api.Networks.CreateNetworkContext(ctx, networks.NewCreateNetworkParams().WithBody(front)); err != nil {
		return fmt.Errorf("create the network: %s", apiclient.Describe(err))
	}
	if err := s.create(ctx, demoExecutor()); err != nil {
		return err
	}
	stage.Table([]string{"POST /v1/networks", network}, []string{"POST /v1/executors", web})

	stage.Step("Boot the VM, without KVM, and wait until its session runs. This is what it writes:")
	began := time.Now()
	vm, err := s.boot(ctx, web, qemu.Options{NICs: []qemu.NIC{card}})
	if err != nil {
		return err
	}
	defer vm.Kill()
	defer vm.Console.Follow(ctx, func(line string) { stage.Say("| %s", line) })()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nthe VM wrote:\n%s", err, vm.Console)
		}
	}()
	e, err := s.await(ctx, web, func(e *models.Executor) bool { return runs(e.Sessions[web]) && e.Networks["eth0"].Assigned != "" })
	if err != nil {
		return err
	}
	if _, err := vm.Console.Await(ctx, `^\[web-1\] good morning from web-1`); err != nil {
		return err
	}
	stage.Say("%.1f s after the start of QEMU, GET /v1/executors/%s says what the guest reported:", time.Since(began).Seconds(), web)
	stage.Table([]string{"sessions.web-1.started", e.Sessions[web].Started}, []string{"networks.eth0.assigned", e.Networks["eth0"].Assigned})
	if e.Networks["eth0"].Assigned != "10.1.0.2/16" {
		return errors.New("the guest has another address than it was given")
	}
	for _, part := range []func(context.Context, *qemu.VM) error{s.change, s.runExec, s.stop} {
		if err := part(ctx, vm); err != nil {
			return err
		}
	}

	stage.Step("Delete the executor, and switch the VM off.")
	_, err = s.api.Executors.DeleteExecutorContext(ctx, executors.NewDeleteExecutorParams().WithID(web))
	return err
}

func (s *site) change(ctx context.Context, vm *qemu.VM) error {
	stage.Step("Change the hostname, and the nameservers of the network, while it runs.")
	began := time.Now()
	if err := s.patch(ctx, web, map[string]any{"hostname": "web-2"}); err != nil {
		return err
	}
	if _, err := vm.Console.Await(ctx, `do="set the hostname".*\n(?s:.*)do="set the hostname"`); err != nil {
		return err
	}
	stage.Say("PATCH /v1/executors/%s: the guest acted %.0f ms later.", web, time.Since(began).Seconds()*1000)
	body, err := apiclient.MergePatch(map[string]any{"nameservers": []string{"10.1.0.99"}})
	if err != nil {
		return err
	}
	_, err = s.api.Networks.PatchNetworkContext(ctx, networks.NewPatchNetworkParams().WithName(network).WithBody(body))
	if err != nil {
		return fmt.Errorf("change the network: %s", apiclient.Describe(err))
	}
	_, err = vm.Console.Await(ctx, `do="set the nameservers".*\n(?s:.*)do="set the nameservers"`)
	return err
}

func (s *site) runExec(ctx context.Context, vm *qemu.VM) error {
	stage.Step("Run a command in the VM, and wait for its exit status over REST.")
	done, err := s.exec(ctx, web, "look", `echo "this is $(hostname), with $(cat /etc/resolv.conf)"; exit 7`)
	if err != nil {
		return err
	}
	match, err := vm.Console.Await(ctx, `^\[look\] (this is .*)$`)
	if err != nil {
		return err
	}
	stage.Table([]string{"execs.look.exitStatus", fmt.Sprint(done.ExitStatus)}, []string{"it wrote", match[1]})
	if done.ExitStatus != 7 || !strings.Contains(match[1], "web-2") || !strings.Contains(match[1], "10.1.0.99") {
		return errors.New("that is not what was to come")
	}
	return nil
}

func (s *site) stop(ctx context.Context, _ *qemu.VM) error {
	stage.Step("Stop the session, which says what it thinks of that.")
	off := map[string]any{"sessions": map[string]any{web: map[string]any{"active": false}}}
	if err := s.patch(ctx, web, off); err != nil {
		return err
	}
	e, err := s.await(ctx, web, func(e *models.Executor) bool { return ended(e.Sessions[web]) })
	if err != nil {
		return err
	}
	stage.Table([]string{"sessions.web-1.exitStatus", fmt.Sprint(e.Sessions[web].ExitStatus)})
	if e.Sessions[web].ExitStatus != 3 {
		return errors.New("it should be 3")
	}
	return nil
}
