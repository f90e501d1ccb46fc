package vmfake

import (
	"maps"
	"strconv"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

// VM is one. Its methods, and what is not marked otherwise, are for the function that Do calls.
type VM struct {
	Instance  string            // never changes
	Name      string            // what Resolve finds it by
	Keys      map[string]string // as they are now
	NoSecrets string            // what State says of it
	Erases    bool              // a power-off erases the keys that were changed while it ran, instead of reverting them

	power      vm.Power
	version    int
	epoch      int
	boot       int
	secret     secret
	persistent saved // what a power-off brings back
	snapshot   saved
	gone       bool
	observed   bool
	before     *vm.State // what it held before somebody past the driver changed it
	doneAt     time.Time // and when that was
}

// secret is the secret key that a VM was given. No State shows it.
type secret struct {
	key      string
	volatile bool // it was written while the VM ran
}

// saved is what a VM held.
type saved struct {
	keys   map[string]string
	secret string
}

// SecretKey is what the guest of a VM finds, to open secrets with; empty when it was given none.
func (h *Hypervisor) SecretKey(instance string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.vms[instance].secret.key
}

// Add makes a VM that is on and holds nothing but a key of another tool. Several may have one name.
func (h *Hypervisor) Add(name string) (instance string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	instance = InstanceOf(name)
	for n := 2; h.vms[instance] != nil; n++ {
		instance = InstanceOf(name) + "-" + strconv.Itoa(n)
	}
	v := &VM{Instance: instance, Name: name, Keys: map[string]string{ForeignKey: ForeignValue}, power: vm.PowerOn}
	v.Keep()
	h.vms[instance] = v
	return instance
}

// InstanceOf is the instance of the first VM that was added under a name.
func InstanceOf(name string) string { return "instance-of-" + name }

// ForeignKey is held by every new VM, and is none of ours.
const ForeignKey, ForeignValue = "guestinfo.metadata", "another tool's"

// Do lets a guest, an operator or anybody else change a VM. One that there never was stays as it is.
func (h *Hypervisor) Do(instance string, change func(*VM)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.vms[instance]; v != nil {
		if v.before = nil; v.observed {
			before := v.state()
			v.before, v.doneAt = &before, time.Now()
		}
		change(v)
		h.changed(v)
	}
}

// State is what a VM holds, seen past the driver.
func (h *Hypervisor) State(instance string) vm.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.vms[instance].state()
}

func (v *VM) state() vm.State {
	s := vm.State{Keys: maps.Clone(v.Keys), Power: v.power, Version: strconv.Itoa(v.version), Epoch: strconv.Itoa(v.epoch), NoSecrets: v.NoSecrets}
	if v.power != vm.PowerOff {
		s.Boot = strconv.Itoa(v.boot)
	}
	return s
}

func (v *VM) there() bool { return v != nil && !v.gone }

// SetGone makes a VM that nobody finds, as one that is not registered any more, or registers it again.
func (v *VM) SetGone(gone bool) { v.gone = gone }

// Power is that of the VM.
func (v *VM) Power() vm.Power { return v.power }

// Boot is that which the VM is in, or was in last.
func (v *VM) Boot() string { return strconv.Itoa(v.boot) }

// Turn switches a VM. What was changed while it ran is lost when it is switched off.
func (v *VM) Turn(power vm.Power) {
	if power == v.power {
		return
	}
	if power == vm.PowerOff {
		switch {
		case !v.Erases:
			v.restore(v.persistent)
		case v.secret.volatile: // though it was there before, and is the same
			v.secret = secret{}
			fallthrough
		default:
			maps.DeleteFunc(v.Keys, func(key, value string) bool { return v.persistent.keys[key] != value })
		}
	}
	switch {
	case power == vm.PowerOff:
		v.epoch++
	case v.power == vm.PowerOff:
		v.epoch++
		v.boot++
	}
	v.power = power
}

// Keep makes what the VM holds now what a power-off brings back.
func (v *VM) Keep() { v.persistent = v.save() }

func (v *VM) save() saved { return saved{maps.Clone(v.Keys), v.secret.key} }

func (v *VM) restore(s saved) { v.Keys, v.secret = maps.Clone(s.keys), secret{key: s.secret} }

// Snap makes a snapshot without memory, the only one from then on. Like a revert it begins an epoch: vSphere tells them apart no better.
func (v *VM) Snap() {
	v.snapshot = v.save()
	v.epoch++
}

// Revert goes back to the snapshot: the VM is off then.
func (v *VM) Revert() {
	v.restore(v.snapshot)
	v.power = vm.PowerOff
	v.epoch++
}
