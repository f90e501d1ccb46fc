package simulator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// faults are what is to go wrong with the reconfigures of one VM, or of all.
type faults struct {
	fails []fails
	loses int
	held  *Hold
}

type fails struct {
	left  int
	fault types.BaseMethodFault
}

func (f *faults) fail() types.BaseMethodFault {
	if len(f.fails) == 0 {
		return nil
	}
	fault := f.fails[0].fault
	if f.fails[0].left--; f.fails[0].left <= 0 {
		f.fails = f.fails[1:]
	}
	return fault
}

func (f *faults) lose() bool {
	if f.loses == 0 {
		return false
	}
	f.loses--
	return true
}

// loses reports whether the answer to a reconfigure is to be lost.
func (m *machine) loses(all *machine) bool {
	for _, m := range []*machine{m, all} {
		m.mu.Lock()
		lose := m.faults.lose()
		m.mu.Unlock()
		if lose {
			return true
		}
	}
	return false
}

// await gives the fault that a reconfigure is to end with, after it was held back as long as it is
// to be.
func (s *Simulator) await(m *machine) types.BaseMethodFault {
	for _, m := range []*machine{m, s.every} {
		m.mu.Lock()
		fault, hold := m.faults.fail(), m.faults.held
		m.mu.Unlock()
		if hold != nil {
			hold.reach()
			select {
			case <-hold.released:
			case <-s.closed:
			}
		}
		if fault != nil {
			return fault
		}
	}
	return nil
}

// faulty gives the machine of a VM, or that which stands for all, to have its faults changed.
func (s *Simulator) faulty(instance string, f func(*faults)) error {
	m := s.every
	if instance != "" {
		vm, err := s.vm(instance)
		if err != nil {
			return err
		}
		m = s.machine(vm.Self)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.faults)
	return nil
}

// FailReconfigures ends the next n reconfigures of the VM with that instance UUID, or of any VM when
// it is empty, with a fault; nothing of them is applied. Faults set earlier come first.
func (s *Simulator) FailReconfigures(instance string, n int, fault types.BaseMethodFault) error {
	return s.faulty(instance, func(f *faults) { f.fails = append(f.fails, fails{n, fault}) })
}

// LoseAnswers applies the next n reconfigures of that VM, or of any, and then cuts the connection
// instead of answering.
func (s *Simulator) LoseAnswers(instance string, n int) error {
	return s.faulty(instance, func(f *faults) { f.loses += n })
}

// Hold holds reconfigures back.
type Hold struct {
	reached, released chan struct{}
	reachOnce, once   sync.Once
	undo              func()
}

func (h *Hold) reach() { h.reachOnce.Do(func() { close(h.reached) }) }

// Reached is closed when the first reconfigure is held back.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Release lets them go on, and holds none back from then on.
func (h *Hold) Release() {
	h.once.Do(func() {
		h.undo()
		close(h.released)
	})
}

// Hold holds back the reconfigures of that VM, or of all, until it is released: their tasks run,
// and nothing is applied.
func (s *Simulator) Hold(instance string) (*Hold, error) {
	h := &Hold{reached: make(chan struct{}), released: make(chan struct{})}
	h.undo = func() {
		_ = s.faulty(instance, func(f *faults) { // a VM that is gone holds nothing back
			if f.held == h {
				f.held = nil
			}
		})
	}
	return h, s.faulty(instance, func(f *faults) { f.held = h })
}

// callFault is what is to go wrong with calls of a method.
type callFault struct {
	left  int
	fault types.BaseMethodFault // nil: the connection is cut
}

// FailCalls answers the next n calls of a method, such as RetrievePropertiesEx, with a fault.
func (s *Simulator) FailCalls(method string, n int, fault types.BaseMethodFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callFaults[method] = append(s.callFaults[method], callFault{n, fault})
}

// CutCalls cuts the connection of the next n calls of a method; nothing of them is carried out.
func (s *Simulator) CutCalls(method string, n int) { s.FailCalls(method, n, nil) }

// failCall does to a call what is to be done to it.
func (s *Simulator) failCall(method string) types.BaseMethodFault {
	s.mu.Lock()
	pending := s.callFaults[method]
	if len(pending) == 0 {
		s.mu.Unlock()
		return nil
	}
	fault := pending[0].fault
	if pending[0].left--; pending[0].left <= 0 {
		s.callFaults[method] = pending[1:]
	}
	s.mu.Unlock()
	if fault == nil {
		cut()
	}
	return fault
}

// cut ends a call without an answer: net/http closes the connection.
func cut() { panic(http.ErrAbortHandler) }

// Latency is how long things take, beyond what they need.
type Latency struct {
	// Call is added to each call of the API.
	Call time.Duration
	// Task is the least, and TaskMax the most that a task takes; between them it is random.
	Task, TaskMax time.Duration
}

func (l Latency) task() time.Duration {
	if l.TaskMax <= l.Task {
		return l.Task
	}
	return l.Task + rand.N(l.TaskMax-l.Task) //nolint:gosec // not a secret
}

// SetLatency makes calls and tasks that begin from now on slow. The zero value is as fast as can be.
func (s *Simulator) SetLatency(l Latency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = l
}

func (s *Simulator) latency() Latency {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slow
}

// Calls counts the calls of the API by method, since the start or ResetCalls. Those of
// WaitForUpdatesEx are the waiting for updates.
func (s *Simulator) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// ResetCalls begins to count anew.
func (s *Simulator) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.calls)
}

// EndSessions ends all sessions, as a restart of vCenter or a time-out does. Whoever waits for
// updates goes on waiting.
func (s *Simulator) EndSessions() error {
	ctx := s.context()
	manager := s.model.Map().SessionManager()
	mine := &simulator.Session{Registry: simulator.NewRegistry(), Map: s.model.Map()}
	seen, ok := mine.Get(manager.Self).(*simulator.SessionManager)
	if !ok {
		return fmt.Errorf("there is no session manager")
	}
	ctx.Session = mine
	for _, session := range seen.SessionList {
		_ = manager.TerminateSession(ctx, &types.TerminateSession{SessionId: []string{session.Key}}) // it may have ended by now
	}
	return nil
}

// Interrupt makes the simulator unreachable: connections are cut and refused, tasks that were begun
// go on. Resume makes it reachable again, at the same address and with the same VMs and sessions.
func (s *Simulator) Interrupt() error {
	s.mu.Lock()
	server := s.server
	s.server = nil
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	s.watchers.cancel()
	return err
}

// Resume is Interrupt's counterpart.
func (s *Simulator) Resume(ctx context.Context) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.url.Host)
	if err != nil {
		return fmt.Errorf("vSphere simulator: %w", err)
	}
	s.serve(listener)
	return nil
}
