package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/go-openapi/runtime"

	"github.com/vmexecutor/config-server/client"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/client/vm"
	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/vm/vsphere"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// story is one executor and one VM, seen from both sides.
type story struct {
	api      *client.Config    // the server's
	driver   *vsphere.Driver   // to read the VM with, past the server
	instance string            // the VM
	tether   string            // the guest command's binary
	others   map[string]string // what the VM held before: keys of other tools
}

func newStory(ctx context.Context, server *stage.Server) (*story, error) {
	api, err := url.Parse(server.API)
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	vSphere, err := url.Parse(server.Simulator)
	if err != nil {
		return nil, fmt.Errorf("the simulator's address: %w", err)
	}
	problems := map[string]runtime.Consumer{"application/problem+json": runtime.JSONConsumer()}
	s := &story{api: client.NewHTTPClientWithConfig(nil, client.DefaultTransportConfig().
		WithHost(api.Host).WithSchemes([]string{api.Scheme}).WithConsumers(problems))}
	s.driver, err = vsphere.New(vsphere.Options{URL: vSphere, Username: simulator.Username, Password: simulator.Password})
	if err != nil {
		return nil, err
	}
	if s.instance, err = s.driver.Resolve(ctx, vmName); err != nil {
		return nil, err
	}
	s.others, err = s.held(ctx)
	return s, err
}

// held reads the VM over the vSphere API.
func (s *story) held(ctx context.Context) (map[string]string, error) {
	if err := s.driver.Refresh(ctx); err != nil { // what the server did is news to this driver
		return nil, err
	}
	state, err := s.driver.Observe(ctx, s.instance)
	return state.Keys, err
}

// reported asks the server for the keys.
func (s *story) reported(ctx context.Context) ([]*models.KeyRow, error) {
	answer, err := s.api.Push.GetKeysContext(ctx, push.NewGetKeysParams().WithID(executorID))
	if err != nil {
		return nil, fmt.Errorf("get the keys: %w", err)
	}
	return answer.Payload.Keys, nil
}

// pushed waits until the VM holds what the executor says.
func (s *story) pushed(ctx context.Context) (*models.LastPush, error) {
	answer, err := s.api.Push.PushContext(ctx, push.NewPushParams().WithID(executorID))
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	status := answer.Payload
	switch {
	case status.State != models.StatusStateSynced:
		return nil, fmt.Errorf("after the push the executor is %s: %s", status.State, status.LastError)
	case status.LastPush == nil:
		return nil, fmt.Errorf("the executor is %s, and nothing was ever pushed", status.State)
	}
	return status.LastPush, nil
}

func (s *story) create(ctx context.Context) error {
	stage.Step("Create a container network and an executor that joins it, with the generated client.")
	if _, err := s.api.Networks.CreateNetworkContext(ctx, networks.NewCreateNetworkParams().WithBody(containerNetwork())); err != nil {
		return fmt.Errorf("create the network: %w", err)
	}
	answer, err := s.api.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(executor()))
	if err != nil {
		return fmt.Errorf("create the executor: %w", err)
	}
	e := answer.Payload
	eth0 := e.Networks["eth0"]
	if eth0.Network.Gateway != containerNetwork().Gateway {
		return fmt.Errorf("eth0 follows the network %s, and has the gateway %q", network, eth0.Network.Gateway)
	}
	stage.Table([]string{"POST /v1/networks", network, "gateway " + eth0.Network.Gateway},
		[]string{"POST /v1/executors", e.ID, fmt.Sprintf("%s, %s, %s, %s", stage.Count(len(e.Sessions), "session"), stage.Count(len(e.Execs), "exec"),
			stage.Count(len(e.Mounts), "mount"), stage.Count(len(e.Networks), "endpoint"))})
	return nil
}

func (s *story) bind(ctx context.Context) error {
	stage.Step("Bind it to the VM " + vmName + ", and wait until it is delivered.")
	binding := &models.VMBinding{Driver: models.VMBindingDriverVsphere, Ref: vmName}
	if _, _, err := s.api.VM.PutVMContext(ctx, vm.NewPutVMParams().WithID(executorID).WithBody(binding)); err != nil {
		return fmt.Errorf("bind to %s: %w", vmName, err)
	}
	last, err := s.pushed(ctx)
	if err != nil {
		return err
	}
	stage.Say("PUT /v1/executors/%s/vm, POST /v1/executors/%s/push: synced, %s set in %.0f ms.", executorID, executorID, stage.Count(int(last.KeysSet), "key"), last.DurationSeconds*1000)
	return nil
}

func (s *story) remove(ctx context.Context) error {
	stage.Step("Delete the executor and the network, and wait until the VM is clean.")
	if _, err := s.api.Executors.DeleteExecutorContext(ctx, executors.NewDeleteExecutorParams().WithID(executorID)); err != nil {
		return fmt.Errorf("delete the executor: %w", err)
	}
	if _, err := s.api.Networks.DeleteNetworkContext(ctx, networks.NewDeleteNetworkParams().WithName(network)); err != nil {
		return fmt.Errorf("delete the network: %w", err)
	}
	// The executor is gone from the API, and so is its status: the VM itself has to be looked at.
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		held, err := s.held(ctx)
		if err != nil {
			return err
		}
		unclean := checkVM(held, nil, s.others)
		if unclean == nil {
			stage.Say("Nothing of the executor is left in the VM; the other tools' %s are as they were.", stage.Count(len(s.others), "key"))
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the VM did not become clean: %w", unclean)
		}
	}
}
