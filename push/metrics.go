package push

import "time"

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
