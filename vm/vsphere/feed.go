package vsphere

import (
	"context"
	"sync"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// waitLimit is how long one call waits for updates, in seconds: a waiting call does not
	// notice that its session has ended, the next one does.
	waitLimit = 10
	// pageLimit is how many objects one answer may be about.
	pageLimit = 500
	// With more than gatherAbove changes under way, gatherFor passes between two waits.
	gatherAbove = 32
	gatherFor   = 10 * time.Millisecond
	// callLimit bounds a call that the feed makes for itself, beyond what it waits.
	callLimit = 30 * time.Second
	// cleanUpLimit bounds a call that only spares vSphere the trouble of cleaning up itself.
	cleanUpLimit = 5 * time.Second
)

// feed is a property collector of ours with two filters, over a list of VMs and one of tasks. (The
// session's default collector is for one user at a time.) It lasts until anything about it fails:
// to begin anew with all that is followed is simpler than to find out what was lost.
type feed struct {
	*follower
	d      *Driver
	s      *session
	ctx    context.Context //nolint:containedctx // ends with the feed
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set

	collector, vmList, taskList types.ManagedObjectReference

	// All that follows, and err, is guarded by the follower's mutex.
	ended bool
	err   error

	rounds rounds

	byRef   map[types.ManagedObjectReference]*entry
	queue   []*entry                                  // to be put into the list of VMs
	leaving map[types.ManagedObjectReference]struct{} // to be removed from it
	wakeVMs chan struct{}

	tasks     map[types.ManagedObjectReference]*pending
	finished  []types.ManagedObjectReference // to be removed from the list of tasks
	wakeTasks chan struct{}
}

// openFeed makes what a feed needs in a session, and makes it the one that runs.
func (d *Driver) openFeed(ctx context.Context, s *session) (*feed, error) {
	f := &feed{
		follower: d.follower, d: d, s: s,
		done:      make(chan struct{}),
		rounds:    rounds{turn: make(chan struct{})},
		byRef:     make(map[types.ManagedObjectReference]*entry),
		leaving:   make(map[types.ManagedObjectReference]struct{}),
		wakeVMs:   make(chan struct{}, 1),
		tasks:     make(map[types.ManagedObjectReference]*pending),
		wakeTasks: make(chan struct{}, 1),
	}
	f.ctx, f.cancel = context.WithCancel(ctx)
	if err := f.create(ctx); err != nil {
		f.cancel()
		f.discard(ctx)
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.vms {
		e.seen, e.looked, e.read, e.ref = false, false, 0, types.ManagedObjectReference{}
		f.queue = append(f.queue, e)
	}
	f.follower.feed = f
	f.wakeVMs <- struct{}{}
	f.wake()
	return f, nil
}

func (f *feed) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	collector, err := methods.CreatePropertyCollector(ctx, f.s, &types.CreatePropertyCollector{This: f.s.ServiceContent.PropertyCollector})
	if err != nil {
		return err
	}
	f.collector = collector.Returnval
	for _, part := range []struct {
		list       *types.ManagedObjectReference
		kind       string
		properties []string
	}{{&f.vmList, kindVM, imaged}, {&f.taskList, "Task", []string{"info.state", "info.error"}}} {
		list, err := methods.CreateListView(ctx, f.s, &types.CreateListView{This: *f.s.ServiceContent.ViewManager})
		if err != nil {
			return err
		}
		*part.list = list.Returnval
		_, err = methods.CreateFilter(ctx, f.s, &types.CreateFilter{
			This: f.collector, PartialUpdates: true,
			Spec: types.PropertyFilterSpec{
				ObjectSet: []types.ObjectSpec{{
					Obj: list.Returnval, Skip: new(true),
					SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "ListView", Path: "view"}},
				}},
				PropSet: []types.PropertySpec{{Type: part.kind, PathSet: part.properties}},
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// discard spares vSphere what a feed leaves behind, unless the session ends anyway.
func (f *feed) discard(ctx context.Context) {
	if ctx.Err() != nil || fault.Is(f.err, &types.NotAuthenticated{}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cleanUpLimit)
	defer cancel()
	if f.collector.Value != "" {
		if _, err := methods.DestroyPropertyCollector(ctx, f.s, &types.DestroyPropertyCollector{This: f.collector}); err != nil {
			return
		}
	}
	for _, list := range []types.ManagedObjectReference{f.vmList, f.taskList} {
		if list.Value != "" {
			_, _ = methods.DestroyView(ctx, f.s, &types.DestroyView{This: list})
		}
	}
}

// run does the feed's work until it ends.
func (f *feed) run() error {
	var wg sync.WaitGroup
	for _, part := range []func() error{f.receive, f.listVMs, f.listTasks} {
		wg.Go(func() { f.end(part()) })
	}
	wg.Wait()
	return f.err
}

// end ends the feed, for all who wait for something of it. The first reason is the one that counts.
func (f *feed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	if name, ok := faultName(err); ok && name != "NotAuthenticated" {
		err = unavailable("vSphere at %s does not show its VMs any more: %s", f.d.endpoint.Host, describe(name, err))
	}
	f.ended, f.err = true, err
	if f.follower.feed == f {
		f.follower.feed = nil
	}
	f.cancel()
	close(f.done)
}

// receive waits for updates and takes them in.
func (f *feed) receive() error {
	for version := ""; ; {
		set, err := f.wait(version, f.beginRound())
		switch {
		case interrupted(err):
		case version != "" && fault.Is(err, &types.InvalidCollectorVersion{}):
			version = ""
			f.restart()
		case err != nil:
			return err
		case set != nil:
			version = set.Version
			f.take(set)
		}
		f.endRound(err == nil && (set == nil || set.Truncated == nil || !*set.Truncated))
		f.gather()
	}
}

// gather lets updates come together when there will be many: each answer costs vSphere a
// calculation, and us a call.
func (f *feed) gather() {
	f.mu.Lock()
	load := len(f.tasks)
	f.mu.Unlock()
	if load < gatherAbove {
		return
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

func (f *feed) wait(version string, seconds int32) (*types.UpdateSet, error) {
	ctx, cancel := context.WithTimeout(f.ctx, waitLimit*time.Second+callLimit)
	defer cancel()
	res, err := methods.WaitForUpdatesEx(ctx, f.s, &types.WaitForUpdatesEx{
		This: f.collector, Version: version,
		Options: &types.WaitOptions{MaxWaitSeconds: new(seconds), MaxObjectUpdates: pageLimit},
	})
	if err != nil {
		return nil, err
	}
	return res.Returnval, nil
}

// restart is for when the collector gives everything again: until then no image counts.
func (f *feed) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.byRef {
		e.seen = false
	}
}

// take takes updates in: the VMs' first, so that a task that is done finds its VM as it left it.
func (f *feed) take(set *types.UpdateSet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, filter := range set.FilterSet {
		for _, u := range filter.ObjectSet {
			if e := f.byRef[u.Obj]; e != nil {
				f.takeVM(e, u)
			}
		}
	}
	for _, filter := range set.FilterSet {
		for _, u := range filter.ObjectSet {
			if p := f.tasks[u.Obj]; p != nil {
				p.take(u)
			}
		}
	}
}

func (f *feed) takeVM(e *entry, u types.ObjectUpdate) {
	news := true
	switch {
	case u.Kind == types.ObjectUpdateKindLeave:
		f.leave(e, nil)
	case u.Kind == types.ObjectUpdateKindEnter:
		var i image
		understood := i.setAll(u.ChangeSet)
		news = e.fill(i)
		e.stale = !understood
	case !e.seen:
		return // it will be given as a whole
	default:
		if !e.image.setAll(u.ChangeSet) {
			e.stale = true
		}
		e.took()
	}
	if e.read == f.rounds.begun {
		e.stale = true // the answer may have been on its way when the VM was read
	}
	if i := e.image.instance; !e.gone && i != "" && i != e.instance {
		f.leave(e, nil) // the id is another VM's by now
	}
	if news || e.gone {
		f.hint(e.instance)
	}
}

func (i *image) setAll(changes []types.PropertyChange) bool {
	understood := true
	for _, c := range changes {
		understood = i.set(c) && understood
	}
	return understood
}

// leave stops following a VM: err is why, or nil when whoever asks next looks for it anew. Once the
// feed has ended its entries are another's.
func (f *feed) leave(e *entry, err error) {
	if e.gone || f.ended {
		return
	}
	e.gone, e.err = true, err
	if f.vms[e.instance] == e {
		delete(f.vms, e.instance)
	}
	if e.ref.Value != "" && f.byRef[e.ref] == e {
		delete(f.byRef, e.ref)
		f.leaving[e.ref] = struct{}{}
	}
	f.s.forget(e.instance)
	e.notify()
}
