package vsphere

import (
	"context"
	"fmt"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

const (
	// listLimit is how many VMs are put into the list at once.
	listLimit = 1000
	// A batch with more VMs than scanAbove whose references are not known is a reason to read
	// the instance UUIDs of the whole inventory, in a few calls, but not again within scanHold.
	scanAbove = 8
	scanHold  = time.Minute
	// forgetAfter is how long a VM is followed that nobody asks about; forgetEvery, how often
	// such VMs are looked for.
	forgetAfter = time.Hour
	forgetEvery = 5 * time.Minute
)

// follow gives the entry of a VM, which begins to be followed if it was not. The mutex is held.
func (f *feed) follow(instance string) *entry {
	e := f.vms[instance]
	if e == nil {
		e = newEntry(instance)
		f.vms[instance] = e
		f.enqueue(e)
	}
	e.asked = f.d.now()
	return e
}

func (f *feed) enqueue(e *entry) {
	f.queue = append(f.queue, e)
	select {
	case f.wakeVMs <- struct{}{}:
	default:
	}
}

// listVMs puts the VMs that callers ask for into the list of VMs: all that asked while the last
// call was made, in one.
func (f *feed) listVMs() error {
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return f.ctx.Err()
		case <-forget.C:
			f.forgetIdle(f.d.now().Add(-forgetAfter))
		case <-f.wakeVMs:
		}
		for {
			batch := f.batch()
			if len(batch) == 0 {
				break
			}
			if err := f.list(batch); err != nil {
				return err
			}
		}
	}
}

// forgetIdle stops following the VMs that nobody has asked about since.
func (f *feed) forgetIdle(since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.vms {
		if e.asked.Before(since) && len(e.pending) == 0 {
			f.leave(e, nil)
		}
	}
}

func (f *feed) batch() []*entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.queue), listLimit)
	batch := f.queue[:n:n]
	f.queue = f.queue[n:]
	return batch
}

// list puts a batch into the list of VMs. An error is the feed's; a VM's own is in its entry.
func (f *feed) list(batch []*entry) error {
	ctx, cancel := context.WithTimeout(f.ctx, 2*callLimit)
	defer cancel()
	if err := f.lookUp(ctx, batch); err != nil {
		return err
	}
	add, remove, already := f.change(batch)
	if len(add)+len(remove) > 0 {
		res, err := methods.ModifyListView(ctx, f.s, &types.ModifyListView{This: f.vmList, Add: add, Remove: remove})
		if err != nil {
			return err
		}
		f.unresolved(res.Returnval)
	}
	for _, e := range already { // they do not come as new ones
		if err := f.read(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// change says what to do to the list: before that is done, what comes of it has to find its entry.
func (f *feed) change(batch []*entry) (add, remove []types.ManagedObjectReference, already []*entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range batch {
		if e.gone {
			continue
		}
		f.byRef[e.ref] = e
		if _, listed := f.leaving[e.ref]; listed {
			delete(f.leaving, e.ref)
			already = append(already, e)
			continue
		}
		add = append(add, e.ref)
	}
	for ref := range f.leaving {
		remove = append(remove, ref)
	}
	clear(f.leaving)
	return add, remove, already
}

// unresolved are references to what is not there. One that the session remembered is looked up again.
func (f *feed) unresolved(refs []types.ManagedObjectReference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range refs {
		e := f.byRef[ref]
		if e == nil {
			continue
		}
		delete(f.byRef, ref)
		f.s.forget(e.instance)
		e.ref = types.ManagedObjectReference{}
		if e.looked {
			f.leave(e, noMore(e.instance))
			continue
		}
		f.enqueue(e)
	}
}

// lookUp finds the references of a batch.
func (f *feed) lookUp(ctx context.Context, batch []*entry) error {
	unknown := 0
	for _, e := range batch {
		if _, ok := f.s.cached(e.instance); !ok {
			unknown++
		}
	}
	if unknown > scanAbove && f.d.now().Sub(f.s.scanned) >= scanHold {
		if err := f.s.scan(ctx); err != nil {
			return err
		}
		f.s.scanned = f.d.now()
	}
	for _, e := range batch {
		ref, ok := f.s.cached(e.instance)
		var refusal error
		if !ok {
			found, err := f.s.byUUID(ctx, e.instance)
			switch {
			case err != nil:
				return err
			case len(found) == 0:
				refusal = noMore(e.instance)
			case len(found) > 1:
				refusal = &failure{kind: vm.ErrAmbiguous, text: fmt.Sprintf("%d VMs in vSphere have the instance UUID %s", len(found), e.instance)}
			default:
				ref = found[0]
				f.s.remember(e.instance, ref)
			}
		}
		f.mu.Lock()
		e.ref, e.looked = ref, !ok
		if refusal != nil {
			f.leave(e, refusal)
		}
		f.mu.Unlock()
	}
	return nil
}

func noMore(instance string) error {
	return notFound("VM %s does not exist in vSphere any more", instance)
}
