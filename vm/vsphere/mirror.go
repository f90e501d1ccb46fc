package vsphere

import (
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

// entry is a VM that is followed. It outlives a feed; all but instance is guarded by the
// follower's mutex.
type entry struct {
	instance string
	asked    time.Time // when a caller last wanted it

	ref     types.ManagedObjectReference // in the feed that lists it
	looked  bool                         // ref was looked up for this listing: it cannot be outdated
	image   image
	known   bool   // image was filled once
	seen    bool   // image is filled by the feed that runs
	updates int    // how often it was filled or changed
	read    uint64 // the round in which image was last read by itself: what that brings may be older

	// What makes the image not good enough for a caller.
	stale   bool       // a change was not understood, or one of ours may have been applied unseen
	owed    *vm.Change // it was applied, but the image has not shown it yet
	refused string     // the version that vSphere said is not the VM's

	pending map[*pending]struct{}
	changed chan struct{} // closed at every change of what is above, and made anew
	gone    bool          // not followed any more: nothing will change, the next to ask begins anew
	err     error         // with gone: why it could not be followed
}

func newEntry(instance string) *entry {
	return &entry{instance: instance, pending: make(map[*pending]struct{}), changed: make(chan struct{})}
}

// notify wakes all who wait for a change.
func (e *entry) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// took is called after the image was changed: it settles what waited for that.
func (e *entry) took() {
	e.updates++
	if e.refused != e.image.version {
		e.refused = ""
	}
	if e.owed != nil && e.image.shows(e.owed) {
		e.owed = nil
	}
	for p := range e.pending {
		if p.byKeys && e.image.shows(p.change) {
			p.complete(nil)
		}
	}
	e.notify()
}

// fill replaces the image by one that was read as a whole, and reports whether that is news to
// those who watch: an image that nobody had before is not.
func (e *entry) fill(i image) bool {
	news := e.known && !e.image.same(&i)
	e.image, e.known, e.seen = i, true, true
	e.stale, e.owed = false, nil
	e.took()
	return news
}

// pending is a change under way, guarded by the follower's mutex but for done.
type pending struct {
	entry  *entry
	change *vm.Change
	byKeys bool // the image did not show the change before it was made: when it does, it is done
	task   types.ManagedObjectReference
	begun  time.Time // when the task was
	listed bool      // the task is in the feed's list of tasks
	done   chan struct{}
	ended  bool
	err    error // set before done is closed
}

// complete ends it, once.
func (p *pending) complete(err error) {
	if !p.ended {
		p.ended, p.err = true, err
		close(p.done)
	}
}
