// Package vmtest proves a vm.Driver: that it does what the contract says, through everything that
// can happen to a hypervisor. A driver adopts it with a Harness. Only tests import it.
package vmtest

import (
	"errors"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

// Harness is a hypervisor with a driver on it. What a hypervisor cannot do is nil, and left out.
type Harness struct {
	// Driver is the one to prove.
	Driver vm.Driver
	// NewVM gives a VM that no other test has, switched on. It is still there, without what was
	// applied to it, when the hypervisor was stopped and started.
	NewVM func(t *testing.T) VM
	// Ambiguous gives a reference that fits several VMs.
	Ambiguous func(t *testing.T) string
	// Versions: a Change with the Version of an outdated State is refused.
	Versions bool
	// SecretKey gives the key that the guest of a VM finds to open secrets with, none when it was given none. A vm.Host is given it
	// when a VM is attached.
	SecretKey func(t *testing.T, v VM) []byte
	// Stop makes the hypervisor go away, Start brings it back where it was.
	Stop, Start func(t *testing.T)
	// EndSessions ends all sessions that the driver has.
	EndSessions func(t *testing.T)
	// Hosted: the driver is a vm.Host. Nobody else writes keys there, and any name is that of a VM: there is none to miss or to remove.
	Hosted bool
}

// VM is a VM as seen past the driver: what an operator or another tool does to it.
type VM interface {
	// Refs are references that mean this VM, by the name of their form.
	Refs(t *testing.T) map[string]string
	// Keys are what the hypervisor holds, with values as they travel.
	Keys(t *testing.T) map[string]string
	// Set writes a key: the guest's where the driver is a vm.Host, and that of some tool where it is not.
	Set(t *testing.T, key, value string)
	// Power switches the VM: vm.PowerOn, vm.PowerOff or vm.PowerSuspended.
	Power(t *testing.T, p vm.Power)
	// Remove destroys the VM.
	Remove(t *testing.T)
}

// Run runs the suite. The harness is this test's own: the suite stops its hypervisor.
func Run(t *testing.T, h Harness) {
	s := &suite{h}
	for _, c := range []struct {
		name   string
		run    func(t *testing.T)
		hosted bool // makes sense for a vm.Host, too
	}{
		{"resolve", s.resolve, true},
		{"resolve what does not exist", s.resolveMissing, false},
		{"resolve what is ambiguous", s.resolveAmbiguous, true},
		{"observe a fresh VM", s.observeFresh, true},
		{"observe what others do", s.observeOthers, false},
		{"refresh", s.refresh, false},
		{"observe power", s.observePower, false},
		{"the epoch stays", s.epochStays, false},
		{"observe after apply", s.observeAfterApply, true},
		{"many first observes", s.manyFirstObserves, false},
		{"set, change, delete", s.setChangeDelete, true},
		{"apply again", s.applyAgain, true},
		{"apply nothing", s.applyNothing, true},
		{"secret key", s.secretKey, false},
		{"other tools' keys", s.foreignKeys, false},
		{"empty values", s.emptyValues, true},
		{"odd characters", s.oddCharacters, true},
		{"odd keys", s.oddKeys, true},
		{"large values", s.largeValues, true},
		{"many keys", s.manyKeys, true},
		{"what cannot travel", s.cannotTravel, true},
		{"outdated version", s.outdatedVersion, true},
		{"many VMs at once", s.concurrent, true},
		{"one VM from many sides", s.concurrentSameVM, true},
		{"hints", s.hints, false},
		{"hints to several", s.hintsToSeveral, false},
		{"removed VM", s.removed, false},
		{"context ends", s.contextEnds, true},
		{"session ends", s.sessionEnds, false},
		{"hypervisor away", s.away, false},
		{"hints after all that", s.hints, false},
	} {
		if c.hosted || !h.Hosted {
			t.Run(c.name, c.run)
		}
	}
}

type suite struct{ h Harness }

// fresh gives a VM and its instance.
func (s *suite) fresh(t *testing.T) (VM, string) {
	t.Helper()
	v := s.h.NewVM(t)
	for form, ref := range v.Refs(t) {
		instance, err := s.h.Driver.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatalf("resolve the %s of a fresh VM: %v", form, err)
		}
		return v, instance
	}
	t.Fatal("a fresh VM has no references")
	return nil, ""
}

func (s *suite) observe(t *testing.T, instance string) vm.State {
	t.Helper()
	state, err := s.h.Driver.Observe(t.Context(), instance)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return state
}

// until observes until the state fits: what others did may take a moment to arrive.
func (s *suite) until(t *testing.T, instance, what string, fits func(vm.State) bool) vm.State {
	t.Helper()
	var state vm.State
	eventually(t, what, func() bool {
		state = s.observe(t, instance)
		return fits(state)
	})
	return state
}

// patience is how long something may take that has to come.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, comes func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !comes(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s is not observed", what)
		}
	}
}

// apply makes a change on the VM as it is now.
func (s *suite) apply(t *testing.T, instance string, set map[string]string, del ...string) {
	t.Helper()
	s.change(t, instance, vm.Change{Set: pairs(set), Delete: del})
}

func (s *suite) change(t *testing.T, instance string, c vm.Change) {
	t.Helper()
	for range 5 {
		c.Version = s.observe(t, instance).Version
		err := s.h.Driver.Apply(t.Context(), instance, c)
		if err == nil {
			return
		}
		if !errors.Is(err, vm.ErrConflict) {
			t.Fatalf("apply: %v", err)
		}
	}
	t.Fatal("apply: the VM that was observed is never the VM as it is")
}
