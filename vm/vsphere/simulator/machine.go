package simulator

import (
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

var vmType = reflect.TypeFor[mo.VirtualMachine]()

// machine is what there is to know of a VM that govmomi's simulator has no place for.
type machine struct {
	// volatile are the guestinfo keys that were changed while the VM ran, as they were when it was
	// switched on: nil where they were absent. The VM's lock guards it, as it does snapshots.
	volatile  map[string]*types.OptionValue
	snapshots map[types.ManagedObjectReference]saved

	mu     sync.Mutex
	jobs   []*job // reconfigures, which are carried out one after the other
	busy   bool
	faults faults
}

// job is a reconfigure that is under way.
type job struct {
	ctx  *simulator.Context
	task *task
	run  func() types.BaseMethodFault
}

// machine gives that of a VM.
func (s *Simulator) machine(ref types.ManagedObjectReference) *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[ref]
	if m == nil {
		m = &machine{volatile: make(map[string]*types.OptionValue), snapshots: make(map[types.ManagedObjectReference]saved)}
		s.machines[ref] = m
	}
	return m
}

// enqueue carries out a job after those before it.
func (s *Simulator) enqueue(m *machine, j *job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = append(m.jobs, j)
	if !m.busy {
		m.busy = true
		s.running.Go(func() { s.work(m) })
	}
}

func (s *Simulator) work(m *machine) {
	for {
		m.mu.Lock()
		if len(m.jobs) == 0 {
			m.busy = false
			m.mu.Unlock()
			return
		}
		j := m.jobs[0]
		m.jobs = m.jobs[1:]
		m.mu.Unlock()

		s.taskRuns(j.ctx, j.task)
		s.pause(s.latency().task())
		fault := s.await(m)
		if fault == nil {
			fault = j.run()
		}
		s.taskEnds(j.ctx, j.task, nil, fault)
	}
}

// pause lets time pass, unless the simulator is closed.
func (s *Simulator) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.closed:
	}
}

// on runs f under the lock of the VM with that instance UUID.
func (s *Simulator) on(instance string, f func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault) error {
	vm, err := s.vm(instance)
	if err != nil {
		return err
	}
	ctx := s.context()
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() { fault = f(ctx, vm) })
	if fault != nil {
		return &Fault{fault}
	}
	return nil
}

// Fault is a refusal, as the API would give it.
type Fault struct{ types.BaseMethodFault }

func (f *Fault) Error() string { return sentence(f.BaseMethodFault) }

// Instance gives the instance UUID of the one VM of that name, which other methods ask for.
func (s *Simulator) Instance(name string) (string, error) {
	refs := s.find(s.context(), entryKey{2, name})
	if len(refs) != 1 {
		return "", fmt.Errorf("%d VMs are named %s", len(refs), name)
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	return s.index.entries[refs[0]].instance, nil
}

func (s *Simulator) vm(instance string) (*simulator.VirtualMachine, error) {
	refs := s.find(s.context(), byUUID(instance, true))
	if len(refs) == 0 {
		return nil, fmt.Errorf("there is no VM %s", instance)
	}
	vm, ok := s.model.Map().Get(refs[0]).(*simulator.VirtualMachine)
	if !ok {
		return nil, fmt.Errorf("VM %s is gone", instance)
	}
	return vm, nil
}

// touch gives a VM's configuration a new version, which no VM had before. Its lock is held.
func (s *Simulator) touch(vm *simulator.VirtualMachine) {
	now := time.Now()
	for {
		last := s.version.Load()
		next := max(last+1, now.UnixNano())
		if s.version.CompareAndSwap(last, next) {
			vm.Config.ChangeVersion = strconv.FormatInt(next, 10)
			break
		}
	}
	vm.Config.Modified = now
}
