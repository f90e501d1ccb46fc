package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrStopped answers who waits for work that will not be done any more.
var ErrStopped = errors.New("the server is stopping")

// queue hands out each task to one worker at a time. A task that is added while it is worked on
// is handed out once more afterwards, however often it was added: bursts coalesce.
type queue struct {
	mu     sync.Mutex
	wake   *sync.Cond
	ready  []task
	tasks  map[task]*entry // queued, running or waiting for a retry
	closed bool
}

type entry struct {
	queued  bool
	running bool
	since   time.Time       // when it was queued
	retry   *time.Timer     // set while it waits for its retry
	waiters []chan struct{} // closed when the run that begins next has ended
	served  []chan struct{} // those of the present run
}

func newQueue() *queue {
	q := &queue{tasks: map[task]*entry{}}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// add has t worked on as soon as a worker is free; a pending retry is brought forward.
func (q *queue) add(t task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(t)
}

func (q *queue) addLocked(t task) *entry {
	e := q.tasks[t]
	if e == nil {
		e = &entry{}
		q.tasks[t] = e
	}
	if e.retry != nil {
		e.retry.Stop()
		e.retry = nil
	}
	if !e.queued && !q.closed {
		e.queued, e.since = true, time.Now()
		if !e.running {
			q.ready = append(q.ready, t)
			q.wake.Signal()
		}
	}
	return e
}

// wait adds t and waits until a run that began after the call has ended.
func (q *queue) wait(ctx context.Context, t task) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrStopped
	}
	ended := make(chan struct{})
	e := q.addLocked(t)
	e.waiters = append(e.waiters, ended)
	q.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next waits for a task; false means that the queue is closed.
func (q *queue) next() (task, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.wake.Wait()
	}
	if q.closed {
		return task{}, false
	}
	t := q.ready[0]
	q.ready = q.ready[1:]
	e := q.tasks[t]
	e.queued, e.running = false, true
	e.served, e.waiters = e.waiters, nil
	return t, true
}

// done ends the run of t; unless again is zero or t was added meanwhile, it is retried after that long.
func (q *queue) done(t task, again time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.tasks[t]
	e.running = false
	e.release()
	switch {
	case q.closed:
	case e.queued:
		q.ready = append(q.ready, t)
		q.wake.Signal()
	case again > 0:
		e.retry = time.AfterFunc(again, func() { q.add(t) })
	default:
		delete(q.tasks, t)
	}
}

// depth gives how many tasks wait for a worker, and since when the first of them does.
func (q *queue) depth() (n int, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.ready {
		if since := q.tasks[t].since; oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	return len(q.ready), oldest
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

// keyedMutex locks by name.
type keyedMutex struct {
	mu    sync.Mutex
	locks map[string]*namedLock
}

type namedLock struct {
	mu    sync.Mutex
	users int
}

// lock waits for name and returns what unlocks it.
func (k *keyedMutex) lock(name string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*namedLock{}
	}
	l := k.locks[name]
	if l == nil {
		l = &namedLock{}
		k.locks[name] = l
	}
	l.users++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, name)
		}
	}
}
