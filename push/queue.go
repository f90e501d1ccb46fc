package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrStopped answers who waits for work that will not be done any more.
var ErrStopped = errors.New("the server is stopping")

// class says how urgent a task is.
type class int

const (
	fromClient class = iota // a client changed something, or asked
	fromHint                // a VM may have changed
	fromRepair              // retries, sweeps, and all there is at the start
	classes
)

// turns says whose turn it is: clients come first, and nobody waits for ever.
var turns = [8]class{fromClient, fromClient, fromHint, fromClient, fromClient, fromHint, fromClient, fromRepair}

// queue hands out each task to one worker at a time. A task that is added while it is worked on
// is handed out once more afterwards, however often it was added: bursts coalesce.
type queue struct {
	mu     sync.Mutex
	wake   *sync.Cond
	ready  [classes][]task // one that moved up is left behind where it was, and passed over
	turn   int
	tasks  map[task]*entry // queued, running or waiting for a retry
	closed bool
}

type entry struct {
	queued  bool
	running bool
	class   class           // while it is queued
	whole   bool            // more than a hint asked for it
	since   time.Time       // when it was queued
	retry   *time.Timer     // set while it waits for its retry
	failed  bool            // the retry is one of a failure: a hint does not bring it forward
	waiters []chan struct{} // closed when the run that begins next has ended
	served  []chan struct{} // those of the present run
}

func newQueue() *queue {
	q := &queue{tasks: map[task]*entry{}}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// add has t worked on as soon as it is its turn; a pending retry is brought forward, but not by a hint when it is that of a failure:
// what fails may make the hint.
func (q *queue) add(t task, c class) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(t, c)
}

func (q *queue) addLocked(t task, c class) *entry {
	e := q.tasks[t]
	if e == nil {
		e = &entry{}
		q.tasks[t] = e
	}
	if e.retry != nil {
		if e.failed && c == fromHint {
			return e
		}
		e.retry.Stop()
		e.retry = nil
	}
	if q.closed {
		return e
	}
	moved := !e.queued || c < e.class
	if !e.queued {
		e.queued, e.since, e.class = true, time.Now(), c
	}
	e.class, e.whole = min(e.class, c), e.whole || c != fromHint
	if moved && !e.running {
		q.push(t, e)
	}
	return e
}

func (q *queue) push(t task, e *entry) {
	q.ready[e.class] = append(q.ready[e.class], t)
	q.wake.Signal()
}

// wait adds t and waits until a run that began after the call has ended.
func (q *queue) wait(ctx context.Context, t task, c class) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrStopped
	}
	ended := make(chan struct{})
	if e := q.tasks[t]; e != nil && e.retry != nil {
		e.failed = false // whoever waits does not wait for a retry
	}
	e := q.addLocked(t, c)
	e.whole = true
	e.waiters = append(e.waiters, ended)
	q.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// job is a task as it is handed out.
type job struct {
	task
	class class
	whole bool // false: a hint alone asked for it
}

// next waits for a task; false means that the queue is closed.
func (q *queue) next() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return job{}, false
		}
		if t, e := q.pop(); e != nil {
			j := job{task: t, class: e.class, whole: e.whole}
			e.queued, e.running, e.whole = false, true, false
			e.served, e.waiters = e.waiters, nil
			return j, true
		}
		q.wake.Wait()
	}
}

// pop takes the first task of the class whose turn it is, or else of the most urgent.
func (q *queue) pop() (task, *entry) {
	for _, c := range [...]class{turns[q.turn], fromClient, fromHint, fromRepair} {
		if q.trim(c); len(q.ready[c]) > 0 {
			t := q.ready[c][0]
			q.ready[c] = q.ready[c][1:]
			q.turn = (q.turn + 1) % len(turns)
			return t, q.tasks[t]
		}
	}
	return task{}, nil
}

// trim drops what is first in a class and is not in it any more.
func (q *queue) trim(c class) {
	for len(q.ready[c]) > 0 {
		if e := q.tasks[q.ready[c][0]]; e != nil && e.queued && !e.running && e.class == c {
			return
		}
		q.ready[c] = q.ready[c][1:]
	}
}

// done ends the run of t; unless again is zero or t was added meanwhile, it is done again after that long.
func (q *queue) done(t task, again time.Duration, failed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.tasks[t]
	e.running = false
	e.release()
	switch {
	case q.closed:
	case e.queued:
		q.push(t, e)
	case again > 0:
		e.failed = failed
		e.retry = time.AfterFunc(again, func() { q.add(t, fromRepair) })
	default:
		delete(q.tasks, t)
	}
}

// stopped reports whether the queue is closed.
func (q *queue) stopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// depth gives how many tasks wait for a worker, and since when the first of them does.
func (q *queue) depth() (n int, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.tasks {
		if !e.queued {
			continue
		}
		n++
		if oldest.IsZero() || e.since.Before(oldest) {
			oldest = e.since
		}
	}
	return n, oldest
}

// close ends every next, and every wait whose run will not come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, e := range q.tasks {
		if e.retry != nil {
			e.retry.Stop()
		}
		e.served = append(e.served, e.waiters...)
		e.waiters = nil
		if !e.running {
			e.release()
		}
	}
	q.wake.Broadcast()
}

func (e *entry) release() {
	for _, c := range e.served {
		close(c)
	}
	e.served = nil
}
