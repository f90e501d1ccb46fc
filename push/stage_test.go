package push

import (
	"context"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

// stage is the hypervisor of a story. It hints at nothing by itself, and remembers which changes were made.
type stage struct {
	*vmfake.Hypervisor

	mu      sync.Mutex
	applied []applied
	given   int // changes that brought a secret key
	looked  int // calls of Observe that were answered
}

type applied struct {
	instance string
	set      map[string]string
	deleted  []string
}

func newStage() *stage {
	s := &stage{}
	s.Hypervisor = vmfake.New(vmfake.Options{
		Hints: func(string) []time.Duration { return nil },
		Observed: func(string, vm.State) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.looked++
		},
		Applying: func(v *vmfake.VM, c vm.Change, _ vmfake.Fault) {
			a := applied{instance: v.Instance, set: map[string]string{}, deleted: c.Delete}
			for _, p := range c.Set {
				a.set[p.Key] = p.Value
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.applied = append(s.applied, a)
			if len(c.SecretKey) > 0 {
				s.given++
			}
		},
	})
	return s
}

func (s *stage) keys(instance string) map[string]string { return s.State(instance).Keys }

func (s *stage) get(instance, key string) string { return s.keys(instance)[key] }

// failing has calls fail; nil heals.
func (s *stage) failing(f func(op vmfake.Op, instance string) error) {
	if f == nil {
		s.OnCall(nil)
		return
	}
	s.OnCall(func(_ context.Context, op vmfake.Op, instance string) vmfake.Fault {
		return vmfake.Fault{Err: f(op, instance)}
	})
}

// during has something happen before a call is carried out.
func (s *stage) during(f func(op vmfake.Op, instance string)) {
	s.failing(func(op vmfake.Op, instance string) error { f(op, instance); return nil })
}

// looks gives how often VMs were looked at.
func (s *stage) looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked
}

// keysGiven gives how many changes brought a secret key since the last call.
func (s *stage) keysGiven() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, s.given = s.given, 0
	return n
}

// changes gives the changes made since the last call.
func (s *stage) changes() []applied {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.applied
	s.applied = nil
	return a
}
