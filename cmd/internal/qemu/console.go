package qemu

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Console keeps what a VM writes to its serial line.
type Console struct {
	mu      sync.Mutex
	text    strings.Builder
	ended   bool
	changed chan struct{} // closed and made anew when there is more
}

func newConsole() *Console { return &Console{changed: make(chan struct{})} }

// Write is for the process of QEMU.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if b != '\r' {
			c.text.WriteByte(b)
		}
	}
	c.signal()
	return len(p), nil
}

func (c *Console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.signal()
}

func (c *Console) signal() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// String is all that was written so far.
func (c *Console) String() string {
	text, _, _ := c.state()
	return text
}

func (c *Console) state() (text string, ended bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.ended, c.changed
}

// Await waits until what was written matches, and gives the match with its groups.
func (c *Console) Await(ctx context.Context, pattern string) ([]string, error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return nil, err
	}
	for {
		text, ended, changed := c.state()
		if match := re.FindStringSubmatch(text); match != nil {
			return match, nil
		}
		if ended {
			return nil, fmt.Errorf("the VM ended without writing %s:\n%s", pattern, text)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the VM did not write %s: %w\n%s", pattern, context.Cause(ctx), text)
		}
	}
}

// Follow calls a function with each line, those that are there already too, until ctx ends, the returned function is called or the VM ends.
func (c *Console) Follow(ctx context.Context, tell func(line string)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		told := 0
		for {
			text, ended, changed := c.state()
			for {
				line, _, whole := strings.Cut(text[told:], "\n")
				if !whole {
					break
				}
				told += len(line) + 1
				tell(line)
			}
			if ended {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
