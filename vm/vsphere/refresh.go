package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

// interruptAgain is after how long a wait that should have ended is interrupted once more: the
// call that does it may have overtaken the wait.
const interruptAgain = 20 * time.Millisecond

var _ vm.Refresher = (*Driver)(nil)

// rounds are a feed's waits for updates, numbered from 1. Each is one call; guarded by the
// follower's mutex.
type rounds struct {
	begun   uint64 // the last one that began
	ended   uint64 // the last one that brought all there was
	wanted  uint64 // one that somebody waits for: until then none waits for updates to come
	waiting bool   // the one that began last does
	turn    chan struct{}
}

// beginRound begins a round and says how long it may wait, in seconds.
func (f *feed) beginRound() int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rounds.begun++
	f.rounds.waiting = f.rounds.ended >= f.rounds.wanted
	if f.rounds.waiting {
		return waitLimit
	}
	return 0
}

// endRound ends it; all reports whether nothing was left to tell.
func (f *feed) endRound(all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rounds.waiting = false
	if all {
		f.rounds.ended = f.rounds.begun
		close(f.rounds.turn)
		f.rounds.turn = make(chan struct{})
	}
}

// Refresh implements vm.Refresher, for all who want it at once: it interrupts the wait for updates
// and waits for another, which ends without waiting.
func (d *Driver) Refresh(ctx context.Context) error {
	return d.doLive(ctx, func(f *feed) error { return f.refresh(ctx) })
}

func (f *feed) refresh(ctx context.Context) error {
	f.mu.Lock()
	r := &f.rounds
	target := r.begun + 1
	first := r.wanted < target
	r.wanted = max(r.wanted, target)
	f.mu.Unlock()
	tick := time.NewTicker(interruptAgain)
	defer tick.Stop()
	for interrupt := first; ; {
		f.mu.Lock()
		over, waiting, turn, err := r.ended >= target, r.waiting, r.turn, f.err
		f.mu.Unlock()
		switch {
		case over:
			return nil
		case err != nil:
			return err
		case waiting && interrupt:
			_, err := methods.CancelWaitForUpdates(ctx, f.s, &types.CancelWaitForUpdates{This: f.collector})
			if err != nil {
				return err
			}
		}
		interrupt = false
		select {
		case <-turn:
		case <-tick.C:
			interrupt = first // one of all who wait is enough
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// interrupted reports whether a wait was ended by refresh.
func interrupted(err error) bool { return fault.Is(err, &types.RequestCanceled{}) }
