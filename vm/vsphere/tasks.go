package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

const (
	// taskAge is how old a task must be to be watched. Most are done by then, as their VMs
	// showed, and cost no call. It is also the time between two changes of the list of tasks.
	taskAge = 50 * time.Millisecond
	// finishedLimit is how many tasks may be in the list in vain before they are removed without
	// others being added.
	finishedLimit = 256
)

// begin notes a change that is about to be made.
func (f *feed) begin(e *entry, c *vm.Change) *pending {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &pending{entry: e, change: c, byKeys: !e.image.shows(c), done: make(chan struct{})}
	e.pending[p] = struct{}{}
	return p
}

// started notes the task that makes a change.
func (f *feed) started(p *pending, ref types.ManagedObjectReference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.ended {
		return
	}
	p.task, p.begun = ref, f.d.now()
	f.tasks[ref] = p
	select {
	case f.wakeTasks <- struct{}{}:
	default:
	}
}

// finish is for when nobody waits for a change any more. When its outcome is not known, the VM is
// read before the mirror is believed again.
func (f *feed) finish(p *pending, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(p.entry.pending, p)
	if !known {
		p.entry.stale = true
	}
	if p.task.Value != "" {
		delete(f.tasks, p.task)
		if p.listed {
			f.finished = append(f.finished, p.task)
		}
	}
}

// listTasks puts the tasks that take long into the list of tasks.
func (f *feed) listTasks() error {
	for {
		select {
		case <-f.ctx.Done():
			return f.ctx.Err()
		case <-f.wakeTasks:
		}
		timer := time.NewTimer(taskAge)
		for more := true; more; {
			select {
			case <-f.ctx.Done():
				timer.Stop()
				return f.ctx.Err()
			case <-timer.C:
			}
			var add, remove []types.ManagedObjectReference
			add, remove, more = f.slowTasks()
			if len(add) > 0 || len(remove) > 0 {
				if err := f.changeTasks(add, remove); err != nil {
					return err
				}
			}
			timer.Reset(taskAge)
		}
		timer.Stop()
	}
}

// slowTasks says how to change the list of tasks, and whether there will be more to do soon.
func (f *feed) slowTasks() (add, remove []types.ManagedObjectReference, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.d.now().Add(-taskAge)
	for ref, p := range f.tasks {
		switch {
		case p.listed || p.ended:
		case p.begun.After(before):
			more = true
		default:
			p.listed = true
			add = append(add, ref)
		}
	}
	if len(add) > 0 || len(f.finished) > finishedLimit {
		remove, f.finished = f.finished, nil
	}
	return add, remove, more
}

func (f *feed) changeTasks(add, remove []types.ManagedObjectReference) error {
	ctx, cancel := context.WithTimeout(f.ctx, callLimit)
	defer cancel()
	res, err := methods.ModifyListView(ctx, f.s, &types.ModifyListView{This: f.taskList, Add: add, Remove: remove})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range res.Returnval {
		if p := f.tasks[ref]; p != nil {
			p.lost()
		}
	}
	return nil
}

// take takes in what is said of the task.
func (p *pending) take(u types.ObjectUpdate) {
	if u.Kind == types.ObjectUpdateKindLeave {
		p.lost()
		return
	}
	var state types.TaskInfoState
	var reason *types.LocalizedMethodFault
	for _, c := range u.ChangeSet {
		switch v := c.Val.(type) {
		case types.TaskInfoState:
			state = v
		case types.LocalizedMethodFault:
			reason = &v
		}
	}
	switch {
	case p.ended:
	case state == types.TaskInfoStateSuccess:
		if !p.entry.image.shows(p.change) {
			p.entry.owed = p.change
		}
		p.complete(nil)
	case state == types.TaskInfoStateError && reason == nil:
		p.complete(&failure{text: "vSphere refuses, and does not say why"})
	case state == types.TaskInfoStateError && fault.Is(task.Error{LocalizedMethodFault: reason}, &types.NotAuthenticated{}):
		// Not about our session: it must not look like a call that was not made.
		p.complete(&failure{text: "vSphere refuses: NotAuthenticated"})
	case state == types.TaskInfoStateError:
		p.complete(task.Error{LocalizedMethodFault: reason})
	}
}

// lost ends a change whose task is gone: how it ended cannot be known.
func (p *pending) lost() {
	p.entry.stale = true
	p.complete(unavailable("vSphere lost track of a change that was under way"))
}
