package vsphere

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

const (
	// waitLimit is how long one call waits for a task: a waiting call does not notice that its
	// session has ended, the next one does.
	waitLimit = 60
	// cleanUpLimit bounds a call that only spares vSphere the trouble of cleaning up itself.
	cleanUpLimit = 5 * time.Second
)

var powers = map[types.VirtualMachinePowerState]vm.Power{
	types.VirtualMachinePowerStatePoweredOn:  vm.PowerOn,
	types.VirtualMachinePowerStatePoweredOff: vm.PowerOff,
	types.VirtualMachinePowerStateSuspended:  vm.PowerSuspended,
}

// Observe implements vm.Driver with one property retrieval.
func (d *Driver) Observe(ctx context.Context, instance string) (vm.State, error) {
	state := vm.State{Power: vm.PowerUnknown}
	err := d.onVM(ctx, instance, func(s *session, ref types.ManagedObjectReference) error {
		var v mo.VirtualMachine
		err := property.DefaultCollector(s.Client).RetrieveOne(ctx, ref,
			[]string{"config.instanceUuid", "config.extraConfig", "config.changeVersion", "runtime.powerState", "runtime.bootTime", "snapshot"}, &v)
		switch {
		case err != nil:
			return err
		case v.Config == nil || v.Config.InstanceUuid == "":
			// Not an empty VM: that would be a reason to push everything.
			return &failure{text: fmt.Sprintf("vSphere does not show the configuration of VM %s: it is not accessible, or the account lacks a privilege", instance)}
		case !strings.EqualFold(v.Config.InstanceUuid, instance):
			return soap.WrapVimFault(&types.ManagedObjectNotFound{Obj: ref}) // the id is another VM's by now
		}
		state.Keys = make(map[string]string, len(v.Config.ExtraConfig))
		for _, option := range v.Config.ExtraConfig {
			o := option.GetOptionValue()
			state.Keys[o.Key] = extraconfig.Unescape(text(o.Value))
		}
		state.Version = v.Config.ChangeVersion
		if p, ok := powers[v.Runtime.PowerState]; ok {
			state.Power = p
		}
		state.Epoch = epoch(&v)
		return nil
	})
	if err != nil {
		return vm.State{}, err
	}
	return state, nil
}

// epoch is made of what a power change or a revert moves.
func epoch(v *mo.VirtualMachine) string {
	e := string(v.Runtime.PowerState)
	if v.Runtime.BootTime != nil {
		e += " " + v.Runtime.BootTime.UTC().Format(time.RFC3339Nano)
	}
	if v.Snapshot != nil && v.Snapshot.CurrentSnapshot != nil {
		e += " " + v.Snapshot.CurrentSnapshot.Value
	}
	return e
}

// text is an option's value: vSphere gives some of them back as numbers and booleans.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// Apply implements vm.Driver with one ReconfigVM_Task.
func (d *Driver) Apply(ctx context.Context, instance string, c vm.Change) error {
	if c.Empty() {
		return nil
	}
	spec := types.VirtualMachineConfigSpec{ChangeVersion: c.Version}
	for _, p := range c.Set {
		if !travels(p.Value) {
			return fmt.Errorf("the value of %s has characters that vSphere does not carry", p.Key)
		}
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: p.Key, Value: extraconfig.Escape(p.Value)})
	}
	for _, key := range c.Delete {
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: key, Value: ""})
	}
	err := d.onVM(ctx, instance, func(s *session, ref types.ManagedObjectReference) error {
		res, err := methods.ReconfigVM_Task(ctx, s, &types.ReconfigVM_Task{This: ref, Spec: spec})
		if err != nil {
			return err
		}
		return s.await(ctx, res.Returnval)
	})
	return withoutValues(err, c.Set)
}

// Watch implements vm.Driver.
func (d *Driver) Watch(ctx context.Context, _ func(instance string)) error {
	<-ctx.Done()
	return ctx.Err()
}

// travels reports whether XML can carry a value. It replaces what it cannot, silently, and the VM
// would differ from what was asked for ever after.
func travels(value string) bool {
	if !utf8.ValidString(value) {
		return false
	}
	for _, r := range value {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// withoutValues blanks what a refusal quotes of the values that it refuses.
func withoutValues(err error, set []extraconfig.Pair) error {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.kind != nil {
		return err
	}
	quiet := *f
	for _, p := range set {
		if len(p.Value) >= 4 || p.Value != "" && p.Secret() {
			quiet.text = strings.ReplaceAll(quiet.text, p.Value, "...")
		}
	}
	return &quiet
}

// await returns when a task is done, with its error. When it cannot be known how the task ended,
// that is ErrUnavailable.
func (s *session) await(ctx context.Context, ref types.ManagedObjectReference) error {
	// A collector of its own: waiting on the session's default one is for one at a time.
	collector, err := property.DefaultCollector(s.Client).Create(ctx)
	if err != nil {
		return unknownOutcome(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpLimit)
		defer cancel()
		_ = collector.Destroy(ctx) // ends with the session in any case
	}()
	_, err = collector.CreateFilter(ctx, types.CreateFilter{Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
		PropSet:   []types.PropertySpec{{Type: ref.Type, PathSet: []string{"info.state", "info.error"}}},
	}})
	if err != nil {
		return unknownOutcome(err)
	}
	var info types.TaskInfo
	for version := ""; ; {
		set, err := collector.WaitForUpdates(ctx, version, &types.WaitOptions{MaxWaitSeconds: new(int32(waitLimit))}) //nolint:staticcheck // its successor ends when a wait brought nothing
		if err != nil {
			return unknownOutcome(err)
		}
		if set == nil {
			continue // nothing new within the limit
		}
		version = set.Version
		for _, update := range set.FilterSet {
			for _, object := range update.ObjectSet {
				for _, change := range object.ChangeSet {
					switch v := change.Val.(type) {
					case types.TaskInfoState:
						info.State = v
					case types.LocalizedMethodFault:
						info.Error = &v
					}
				}
			}
		}
		switch {
		case info.State == types.TaskInfoStateSuccess:
			return nil
		case info.State == types.TaskInfoStateError && info.Error == nil:
			return &failure{text: "vSphere refuses, and does not say why"}
		case info.State == types.TaskInfoStateError:
			return task.Error{LocalizedMethodFault: info.Error}
		}
	}
}

// unknownOutcome is what an answer to waiting means when it is a fault: the session or the task is
// gone, and nobody can tell how the task ended. (No answer at all means vm.ErrUnavailable anyway.)
func unknownOutcome(err error) error {
	switch {
	case fault.Is(err, &types.NotAuthenticated{}):
		return unavailable("the vSphere session ended while a change was under way")
	case fault.Is(err, &types.ManagedObjectNotFound{}):
		return unavailable("vSphere lost track of a change that was under way")
	}
	return err
}
