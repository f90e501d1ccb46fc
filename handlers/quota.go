package handlers

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

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

// add takes even more than there is left.
func (q *quota) add(caller string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used += n
	q.by[caller] += n
}

// spent reports whether a caller has all that one may have.
func (q *quota) spent(caller string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.by[caller] >= q.each
}

func (q *quota) give(caller string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
	if q.by[caller] -= n; q.by[caller] == 0 {
		delete(q.by, caller)
	}
}

// turns are a quota for which callers wait, one behind the other: first for their own part, and only then for what all share. So
// one caller's never fill the queue in which the others stand.
type turns struct {
	each int64
	all  *semaphore.Weighted

	mu sync.Mutex
	by map[string]*part // by caller
}

// part is what one caller may have at a time.
type part struct {
	*semaphore.Weighted
	users int // who have some of it, or wait
}

// newTurns lets one caller have half of it, or least if that is more.
func newTurns(all, least int64) *turns {
	return &turns{each: min(max(all/2, least), all), all: semaphore.NewWeighted(all), by: map[string]*part{}}
}

// take waits for as much, of which no more than each is counted. What was taken is given back by done.
func (t *turns) take(ctx context.Context, caller string, n int64) (done func(), err error) {
	n = min(n, t.each)
	own := t.part(caller)
	if err := own.Acquire(ctx, n); err != nil {
		t.leave(caller)
		return nil, err
	}
	if err := t.all.Acquire(ctx, n); err != nil {
		own.Release(n)
		t.leave(caller)
		return nil, err
	}
	return func() {
		t.all.Release(n)
		own.Release(n)
		t.leave(caller)
	}, nil
}

func (t *turns) part(caller string) *part {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.by[caller]
	if own == nil {
		own = &part{Weighted: semaphore.NewWeighted(t.each)}
		t.by[caller] = own
	}
	own.users++
	return own
}

func (t *turns) leave(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[caller].users--; t.by[caller].users == 0 {
		delete(t.by, caller)
	}
}
