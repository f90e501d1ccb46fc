package push

import (
	"sync"
	"time"
)

// outage keeps a hypervisor that is away from being asked by every VM's task: after some answers in a row that it is not available,
// background work asks once in a while, for all. What clients ask for is tried all the same.
type outage struct {
	mu       sync.Mutex
	failures int
	probe    time.Time // when to ask next
	err      error
}

// outageAfter is how many answers in a row make an outage: a single VM that is out of reach makes none, when others answer.
const outageAfter = 8

// refuse gives the reason not to ask now.
func (o *outage) refuse(now time.Time, b backoff) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures < outageAfter {
		return nil
	}
	if now.Before(o.probe) {
		return o.err
	}
	o.probe = now.Add(b.after(o.failures - outageAfter))
	return nil
}

// answered notes what the hypervisor answered, and reports whether an outage began or ended with it.
func (o *outage) answered(unavailable bool, err error) (began, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !unavailable {
		ended = o.failures >= outageAfter
		o.failures, o.err = 0, nil
		return false, ended
	}
	o.failures++
	o.err = err
	return o.failures == outageAfter, false
}
