package vsphere

import (
	"maps"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

func options(pairs ...string) types.ArrayOfOptionValue {
	var list types.ArrayOfOptionValue
	for n := 0; n < len(pairs); n += 2 {
		list.OptionValue = append(list.OptionValue, &types.OptionValue{Key: pairs[n], Value: pairs[n+1]})
	}
	return list
}

func TestImageTakesChanges(t *testing.T) {
	const assign, remove, indirect = types.PropertyChangeOpAssign, types.PropertyChangeOpRemove, types.PropertyChangeOpIndirectRemove
	for name, c := range map[string]struct {
		change types.PropertyChange
		key    string // to look at, with what it holds; none when value is "-"
		value  string
		doubt  bool
	}{
		"whole list":            {change: types.PropertyChange{Name: "config.extraConfig", Op: assign, Val: options("b", "2")}, key: "b", value: "2"},
		"whole list, less":      {change: types.PropertyChange{Name: "config.extraConfig", Op: assign, Val: options("b", "2")}, key: "a", value: "-"},
		"a key":                 {change: types.PropertyChange{Name: `config.extraConfig["b"]`, Op: types.PropertyChangeOpAdd, Val: types.OptionValue{Key: "b", Value: "2"}}, key: "b", value: "2"},
		"a key, by reference":   {change: types.PropertyChange{Name: `config.extraConfig["b"]`, Op: assign, Val: &types.OptionValue{Key: "b", Value: "2"}}, key: "b", value: "2"},
		"an odd key":            {change: types.PropertyChange{Name: `config.extraConfig["x"]y"]`, Op: assign, Val: types.OptionValue{Key: `x"]y`, Value: "2"}}, key: `x"]y`, value: "2"},
		"a typed value":         {change: types.PropertyChange{Name: `config.extraConfig["b"]`, Op: assign, Val: types.OptionValue{Key: "b", Value: int32(7)}}, key: "b", value: "7"},
		"an empty value":        {change: types.PropertyChange{Name: `config.extraConfig["b"]`, Op: assign, Val: types.OptionValue{Key: "b", Value: extraconfig.Escape("")}}, key: "b", value: ""},
		"a key's value":         {change: types.PropertyChange{Name: `config.extraConfig["a"].value`, Op: assign, Val: "2"}, key: "a", value: "2"},
		"an unknown key's":      {change: types.PropertyChange{Name: `config.extraConfig["b"].value`, Op: assign, Val: "2"}, key: "b", value: "-", doubt: true},
		"a key goes":            {change: types.PropertyChange{Name: `config.extraConfig["a"]`, Op: remove}, key: "a", value: "-"},
		"a key goes indirectly": {change: types.PropertyChange{Name: `config.extraConfig["a"]`, Op: indirect}, key: "a", value: "-"},
		"an unknown key goes":   {change: types.PropertyChange{Name: `config.extraConfig["b"]`, Op: remove}, key: "a", value: "1", doubt: true},
		"a number for a key":    {change: types.PropertyChange{Name: `config.extraConfig[0]`, Op: remove}, key: "a", value: "1", doubt: true},
		"something strange":     {change: types.PropertyChange{Name: `config.extraConfig`, Op: assign, Val: 7}, key: "a", value: "-", doubt: true},
		"another property":      {change: types.PropertyChange{Name: "config.hardware", Op: assign, Val: 7}, key: "a", value: "1", doubt: true},
		"a snapshot's name":     {change: types.PropertyChange{Name: `snapshot.rootSnapshotList["x"].name`, Op: assign, Val: "n"}, key: "a", value: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			var i image
			if !i.set(types.PropertyChange{Name: "config.extraConfig", Op: assign, Val: options("a", "1")}) {
				t.Fatal("a list is not understood")
			}
			if understood := i.set(c.change); understood == c.doubt {
				t.Errorf("understood: %v, want %v", understood, !c.doubt)
			}
			if got, ok := i.state().Keys[c.key]; ok != (c.value != "-") || ok && got != c.value {
				t.Errorf("%s holds %q, %v, want %q", c.key, got, ok, c.value)
			}
		})
	}
}

func TestImageEpoch(t *testing.T) {
	var i image
	epochs := map[string]string{i.epoch(): "nothing"}
	for _, c := range []types.PropertyChange{
		{Name: "runtime.powerState", Val: types.VirtualMachinePowerStatePoweredOff},
		{Name: "runtime.powerState", Val: types.VirtualMachinePowerStatePoweredOn},
		{Name: "runtime.bootTime", Val: time.Unix(1, 0)},
		{Name: "runtime.bootTime", Val: time.Unix(2, 0)},
		{Name: "snapshot", Val: types.VirtualMachineSnapshotInfo{CurrentSnapshot: &types.ManagedObjectReference{Value: "snapshot-1"}}},
		{Name: "snapshot.currentSnapshot", Val: types.ManagedObjectReference{Value: "snapshot-2"}},
	} {
		if !i.set(c) {
			t.Errorf("%s is not understood", c.Name)
		}
		if before, ok := epochs[i.epoch()]; ok {
			t.Errorf("%s leaves the epoch of %s", c.Name, before)
		}
		epochs[i.epoch()] = c.Name
	}
	running := i.state()
	if running.Power != vm.PowerOn || running.Boot == "" {
		t.Errorf("power is %q, the boot %q", running.Power, running.Boot)
	}
	i.set(types.PropertyChange{Name: "snapshot.currentSnapshot", Val: types.ManagedObjectReference{Value: "snapshot-3"}})
	if now := i.state(); now.Boot != running.Boot || now.Epoch == running.Epoch {
		t.Errorf("a snapshot makes epoch %q and boot %q of %q and %q", now.Epoch, now.Boot, running.Epoch, running.Boot)
	}
	running = i.state()
	i.set(types.PropertyChange{Name: "runtime.powerState", Val: types.VirtualMachinePowerStateSuspended})
	if now := i.state(); now.Boot != running.Boot || now.Epoch != running.Epoch || now.Power != vm.PowerSuspended {
		t.Errorf("a suspension makes epoch %q and boot %q of %q and %q", now.Epoch, now.Boot, running.Epoch, running.Boot)
	}
	if !i.set(types.PropertyChange{Name: "snapshot", Op: types.PropertyChangeOpIndirectRemove}) || i.snapshot != "" {
		t.Error("the last snapshot does not go")
	}
}

// What callers were given stays as it was, and is copied once however many keys change.
func TestImageKeepsWhatItGave(t *testing.T) {
	key := func(name, value string) types.PropertyChange {
		return types.PropertyChange{Name: `config.extraConfig["` + name + `"]`, Op: types.PropertyChangeOpAssign, Val: types.OptionValue{Key: name, Value: value}}
	}
	var i image
	i.set(types.PropertyChange{Name: "config.extraConfig", Val: options("a", "1", "b", "1")})
	before := i.state().Keys
	i.setAll([]types.PropertyChange{key("a", "2"), key("c", "2")})
	between := i.state().Keys
	i.set(types.PropertyChange{Name: `config.extraConfig["b"]`, Op: types.PropertyChangeOpRemove})
	after := i.state().Keys
	for n, want := range []map[string]string{{"a": "1", "b": "1"}, {"a": "2", "b": "1", "c": "2"}, {"a": "2", "c": "2"}} {
		if got := []map[string]string{before, between, after}[n]; !maps.Equal(got, want) {
			t.Errorf("state %d is %v, want %v", n, got, want)
		}
	}
}
