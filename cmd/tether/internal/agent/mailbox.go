//go:build linux

package agent

import (
	"context"
	"sync"
)

// mailbox is a goroutine's work, done one after the other. Putting something into it never waits, so that two of them
// can give each other work.
type mailbox struct {
	mu   sync.Mutex
	work []func()
	wake chan struct{}
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) put(f func()) {
	m.mu.Lock()
	m.work = append(m.work, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run does the work until ctx ends.
func (m *mailbox) run(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		work := m.work
		m.work = nil
		m.mu.Unlock()
		for _, f := range work {
			if ctx.Err() != nil {
				return
			}
			f()
		}
		if len(work) > 0 {
			continue
		}
		select {
		case <-m.wake:
		case <-ctx.Done():
		}
	}
}
