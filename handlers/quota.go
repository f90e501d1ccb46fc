package handlers

import "sync"

// quota is an amount of something that callers share. One of them gets no more than each, and all together no more than all.
type quota struct {
	all, each int64

	mu   sync.Mutex
	used int64
	by   map[string]int64 // by caller
}

// newQuota lets one caller have half of it, so that there is something for another.
func newQuota(all int64) *quota {
	return &quota{all: all, each: max(all/2, 1), by: map[string]int64{}}
}

// take answers false, and takes nothing, when there is not as much left.
func (q *quota) take(caller string, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.all || q.by[caller]+n > q.each {
		return false
	}
	q.used += n
	q.by[caller] += n
	return true
}

func (q *quota) give(caller string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
	if q.by[caller] -= n; q.by[caller] == 0 {
		delete(q.by, caller)
	}
}
