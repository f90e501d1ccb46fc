package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/client/vm"
	"github.com/vmexecutor/config-server/cmd/internal/initramfs"
	"github.com/vmexecutor/config-server/cmd/internal/qemu"
	"github.com/vmexecutor/config-server/cmd/internal/stage"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/models"
)

// site is a server, and what its VMs boot.
type site struct {
	dir       string // with a short path: sockets are below it
	binary    string // the server's
	kernel    initramfs.Kernel
	initramfs string
	server    *stage.Server
	api       *apiclient.Client
}

// newSite finds what VMs are made of. Its errors say which packages to install.
func newSite(binary, tether string) (*site, error) {
	if err := qemu.Check(); err != nil {
		return nil, err
	}
	kernel, err := initramfs.FindKernel()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "demo-vm")
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir, binary: binary, kernel: kernel, initramfs: filepath.Join(dir, "initramfs")}
	if err := initramfs.Guest(kernel, tether, s.initramfs); err != nil {
		return nil, errors.Join(fmt.Errorf("make the initramfs: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

// serve starts the server, or starts it again on what the last one left.
func (s *site) serve(ctx context.Context) error {
	server, err := stage.Start(ctx, s.binary, s.dir)
	if err != nil {
		return err
	}
	s.server = server
	s.api, err = apiclient.New(server.API)
	return err
}

// remove leaves nothing behind.
func (s *site) remove() error { return os.RemoveAll(s.dir) }

// boot starts the VM of an executor, once its socket is there to connect to.
func (s *site) boot(ctx context.Context, id string, o qemu.Options) (*qemu.VM, error) {
	if err := s.synced(ctx, id); err != nil {
		return nil, err
	}
	answer, err := s.api.VM.GetVMContext(ctx, vm.NewGetVMParams().WithID(id))
	if err != nil {
		return nil, fmt.Errorf("get the binding of %s: %w", id, err)
	}
	o.Kernel, o.Initramfs, o.GuestSocket, o.GuestPort = s.kernel.Image, s.initramfs, answer.Payload.Socket, guest.PortName
	return qemu.Start(ctx, o)
}

// synced waits until an executor is delivered.
func (s *site) synced(ctx context.Context, id string) error {
	answer, err := s.api.Push.PushContext(ctx, push.NewPushParams().WithID(id))
	if err != nil {
		return fmt.Errorf("push %s: %w", id, err)
	}
	if st := answer.Payload; st.State != models.StatusStateSynced {
		return fmt.Errorf("%s is %s: %s", id, st.State, st.LastError)
	}
	return nil
}

// create makes an executor, bound to a VM of QEMU.
func (s *site) create(ctx context.Context, e *models.Executor) error {
	e.VM = &models.VMBinding{Driver: models.VMBindingDriverQemu, Ref: e.ID}
	if _, err := s.api.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(e)); err != nil {
		return fmt.Errorf("create %s: %s", e.ID, apiclient.Describe(err))
	}
	return nil
}

// patch merges a change into an executor.
func (s *site) patch(ctx context.Context, id string, changes any) error {
	body, err := apiclient.MergePatch(changes)
	if err != nil {
		return err
	}
	if _, err := s.api.Executors.PatchExecutorContext(ctx, executors.NewPatchExecutorParams().WithID(id).WithBody(body)); err != nil {
		return fmt.Errorf("change %s: %s", id, apiclient.Describe(err))
	}
	return nil
}

// await waits until an executor is as it should come to be: what a guest reports comes without being asked for.
func (s *site) await(ctx context.Context, id string, is func(*models.Executor) bool) (*models.Executor, error) {
	e, err := s.api.WaitExecutor(ctx, id, is)
	if err != nil {
		return nil, fmt.Errorf("%s did not become what was awaited: %w", id, cmp.Or(context.Cause(ctx), err))
	}
	return e, nil
}

// exec runs a command in a running VM and waits for its end.
func (s *site) exec(ctx context.Context, id, name, script string) (*models.Session, error) {
	run := map[string]any{"execs": map[string]any{name: map[string]any{"active": true, "cmd": map[string]any{"path": "/bin/sh", "args": []string{"sh", "-c", script}}}}}
	if err := s.patch(ctx, id, run); err != nil {
		return nil, err
	}
	e, err := s.await(ctx, id, func(e *models.Executor) bool { return ended(e.Execs[name]) })
	if err != nil {
		return nil, err
	}
	return e.Execs[name], nil
}

// ended reports whether a session ran and came to its end.
func ended(s *models.Session) bool { return s != nil && s.Detail != nil && s.Detail.StopTime != nil }

// runs reports whether it runs.
func runs(s *models.Session) bool { return s != nil && s.Started == "true" && !ended(s) }
