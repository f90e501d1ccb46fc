package simulator

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// taskKept is how long a task can be asked about after its end.
	taskKept = time.Minute
	// tasksKept is how many such tasks there can be.
	tasksKept = 20_000
)

// task is ours, as govmomi's holds the VM's lock while it waits.
type task struct {
	mo.Task
	done chan struct{}
}

var taskType = reflect.TypeFor[mo.Task]()

// tasks are those that have ended, oldest first.
type tasks struct {
	made  atomic.Int64
	mu    sync.Mutex
	ended []endedTask
}

type endedTask struct {
	ref types.ManagedObjectReference
	at  time.Time
}

// newTask makes a task that is queued, of a method without its _Task.
func (s *Simulator) newTask(ctx *simulator.Context, entity types.ManagedObjectReference, method string) *task {
	t := &task{done: make(chan struct{})}
	t.Self = types.ManagedObjectReference{Type: "Task", Value: fmt.Sprintf("task-c%d", s.tasks.made.Add(1))}
	user := Username
	if ctx.Session != nil {
		user = ctx.Session.UserName
	}
	t.Info = types.TaskInfo{
		Key: t.Self.Value, Task: t.Self, Name: method + "_Task", DescriptionId: entity.Type + "." + strings.ToLower(method[:1]) + method[1:],
		Entity: &entity, EntityName: entity.Value, State: types.TaskInfoStateQueued,
		Reason: &types.TaskReasonUser{UserName: user}, QueueTime: time.Now(),
	}
	s.model.Map().Put(t)
	return t
}

func (s *Simulator) taskRuns(ctx *simulator.Context, t *task) {
	ctx.WithLock(t, func() {
		t.Info.State, t.Info.StartTime = types.TaskInfoStateRunning, new(time.Now())
	})
	s.watchers.changed(t.Self, taskType, change{paths: []string{"info.state", "info.startTime"}})
}

func (s *Simulator) taskEnds(ctx *simulator.Context, t *task, result types.AnyType, fault types.BaseMethodFault) {
	ctx.WithLock(t, func() {
		t.Info.State, t.Info.CompleteTime, t.Info.Result = types.TaskInfoStateSuccess, new(time.Now()), result
		if fault != nil {
			t.Info.State = types.TaskInfoStateError
			t.Info.Error = &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: sentence(fault)}
		}
	})
	s.watchers.changed(t.Self, taskType, change{paths: []string{"info.state", "info.completeTime", "info.result", "info.error"}})
	s.retire(t.Self)
	s.prune(ctx)
	close(t.done)
}

// sentence is what vCenter shows with a fault, as far as it tells more than the fault's name.
func sentence(fault types.BaseMethodFault) string {
	switch f := fault.(type) {
	case *types.ConcurrentAccess:
		return "The operation failed due to concurrent modification of the resource."
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", f.ExistingState)
	case *types.InvalidArgument:
		return "A specified parameter was not correct: " + f.InvalidProperty
	case *types.ManagedObjectNotFound:
		return "The object has already been deleted or has not been completely created"
	}
	return reflect.TypeOf(fault).Elem().Name()
}

// retire notes that a task has ended.
func (s *Simulator) retire(ref types.ManagedObjectReference) {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	s.tasks.ended = append(s.tasks.ended, endedTask{ref, time.Now()})
}

// prune forgets tasks that ended long ago.
func (s *Simulator) prune(ctx *simulator.Context) {
	s.tasks.mu.Lock()
	n := 0
	for n < len(s.tasks.ended) && (len(s.tasks.ended)-n > s.limits.tasks || time.Since(s.tasks.ended[n].at) > taskKept) {
		n++
	}
	old := s.tasks.ended[:n]
	s.tasks.ended = s.tasks.ended[n:]
	s.tasks.mu.Unlock()
	for _, t := range old {
		ctx.Map.Remove(ctx, t.ref)
	}
}
