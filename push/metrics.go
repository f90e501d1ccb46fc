package push

import (
	"time"
)

// QueueDepth gives how many executors and VMs wait for a worker.
func (r *Reconciler) QueueDepth() int {
	n, _ := r.queue.depth()
	return n
}

// QueueAge gives how long the one that waits longest has waited.
func (r *Reconciler) QueueAge() time.Duration {
	if _, since := r.queue.depth(); !since.IsZero() {
		return time.Since(since)
	}
	return 0
}

// Counts gives how many bound executors are pending, synced and failed. It looks at the memory alone: a change counts as pending from
// the moment that the feed brought it.
func (r *Reconciler) Counts() map[State]int {
	counts := map[State]int{StatePending: 0, StateSynced: 0, StateFailed: 0}
	busy := r.queue.busy()
	r.table.each(func(key task, row *row) {
		if key.executor == "" {
			return
		}
		switch {
		case row.LastError != "":
			counts[StateFailed]++
		case busy[key] || row.behind || row.PushedRevision == 0:
			counts[StatePending]++
		default:
			counts[StateSynced]++
		}
		delete(busy, key)
	})
	for key := range busy {
		if key.executor != "" {
			counts[StatePending]++
		}
	}
	return counts
}
