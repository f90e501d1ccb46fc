// Package remote plays the operator and the guest of a VM in a running simulator, over its vSphere
// API: that is how somebody who tries the server out, or shows it, does what a real operator and a
// real guest would.
//
// vSphere has no call that does what a guest can do and nothing else. So the rules of a guest are
// kept here, by the caller; a simulator in process (simulator.GuestRead, simulator.GuestWrite) keeps
// them itself. cmd/simctl imports it.
package remote

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// Session is a log-in at a simulator.
type Session struct{ client *govmomi.Client }

// Dial logs in at the simulator's URL, with its own account unless the URL has another.
func Dial(ctx context.Context, u *url.URL) (*Session, error) {
	at := *u
	if at.User == nil {
		at.User = url.UserPassword(simulator.Username, simulator.Password)
	}
	if at.Path == "" || at.Path == "/" {
		at.Path = "/sdk"
	}
	client, err := govmomi.NewClient(ctx, &at, false)
	if err != nil {
		return nil, fmt.Errorf("log in at %s: %w", at.Redacted(), err)
	}
	return &Session{client}, nil
}

// Close logs out.
func (s *Session) Close(ctx context.Context) error { return s.client.Logout(ctx) }

// vm finds a VM by its name, or its inventory path.
func (s *Session) vm(ctx context.Context, name string) (*object.VirtualMachine, error) {
	at := name
	if !strings.Contains(at, "/") {
		at = "/DC0/vm/" + at
	}
	found, err := object.NewSearchIndex(s.client.Client).FindByInventoryPath(ctx, at)
	if err != nil {
		return nil, err
	}
	vm, ok := found.(*object.VirtualMachine)
	if !ok {
		return nil, fmt.Errorf("there is no VM %s", name)
	}
	return vm, nil
}

// Power does to a VM what an operator can do to its power: on, off, suspend or reset.
func (s *Session) Power(ctx context.Context, name, action string) error {
	vm, err := s.vm(ctx, name)
	if err != nil {
		return err
	}
	do := map[string]func(context.Context) (*object.Task, error){"on": vm.PowerOn, "off": vm.PowerOff, "suspend": vm.Suspend, "reset": vm.Reset}[action]
	if do == nil {
		return fmt.Errorf("power %s: on, off, suspend or reset", action)
	}
	task, err := do(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("power %s %s: %w", name, action, err)
	}
	return nil
}

// guest gives what the guest of a VM sees, sorted by key, without escapes. The VM has to run.
func (s *Session) guest(ctx context.Context, name string) (*object.VirtualMachine, []extraconfig.Pair, error) {
	vm, err := s.vm(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var m mo.VirtualMachine
	if err := property.DefaultCollector(s.client.Client).RetrieveOne(ctx, vm.Reference(), []string{"config.extraConfig", "runtime.powerState"}, &m); err != nil {
		return nil, nil, err
	}
	if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return nil, nil, fmt.Errorf("%s is %s: no guest runs in it", name, m.Runtime.PowerState)
	}
	var pairs []extraconfig.Pair
	if m.Config != nil {
		for _, o := range m.Config.ExtraConfig {
			if key := o.GetOptionValue().Key; simulator.GuestCanRead(key) == nil {
				pairs = append(pairs, extraconfig.Pair{Key: key, Value: extraconfig.Unescape(fmt.Sprint(o.GetOptionValue().Value))})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b extraconfig.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return vm, pairs, nil
}

// GuestList gives all that the guest of a VM sees, sorted by key.
func (s *Session) GuestList(ctx context.Context, name string) ([]extraconfig.Pair, error) {
	_, pairs, err := s.guest(ctx, name)
	return pairs, err
}

// GuestGet reads a key as the guest of a VM does.
func (s *Session) GuestGet(ctx context.Context, name, key string) (string, error) {
	if err := simulator.GuestCanRead(key); err != nil {
		return "", err
	}
	_, pairs, err := s.guest(ctx, name)
	if err != nil {
		return "", err
	}
	for _, p := range pairs {
		if strings.EqualFold(p.Key, key) {
			return p.Value, nil
		}
	}
	return "", fmt.Errorf("%s has no key %s", name, key)
}

// GuestSet writes a key as the guest of a VM does.
func (s *Session) GuestSet(ctx context.Context, name, key, value string) error {
	if err := simulator.GuestCanWrite(key, value); err != nil {
		return err
	}
	vm, _, err := s.guest(ctx, name)
	if err != nil {
		return err
	}
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: key, Value: extraconfig.Escape(value)}},
	})
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
