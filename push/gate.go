package push

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// gate lets changes of VMs pass at a rate, those of clients first.
type gate struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	waiting [classes][]chan struct{}
	arrived chan struct{} // has room for one
}

// newGate makes a gate that run opens; nil lets everything pass.
func newGate(perSecond float64) *gate {
	if perSecond <= 0 {
		return nil
	}
	return &gate{limiter: rate.NewLimiter(rate.Limit(perSecond), 1), arrived: make(chan struct{}, 1)}
}

// run opens the gate until ctx ends.
func (g *gate) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.arrived:
		}
		for g.waits() {
			if g.limiter.Wait(ctx) != nil {
				return
			}
			g.open()
		}
	}
}

func (g *gate) waits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waiting {
		if len(w) > 0 {
			return true
		}
	}
	return false
}

// open lets the most urgent one pass.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, w := range g.waiting {
		if len(w) > 0 {
			close(w[0])
			g.waiting[c] = w[1:]
			return
		}
	}
}

// wait waits for its turn, or until ctx ends.
func (g *gate) wait(ctx context.Context, c class) error {
	if g == nil {
		return ctx.Err()
	}
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting[c] = append(g.waiting[c], turn)
	g.mu.Unlock()
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	select {
	case <-turn:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
