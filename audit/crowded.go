package audit

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// How many lines that tell of no change there may be. Whoever is refused all the time, on purpose even, fills no disk and pushes nothing out of the
// files that are kept: each source has so many lines within a period, and the rest are told as a number at its end. Sources beyond
// maxSources are one together.
const (
	linesPerSource = 60
	period         = time.Minute
	maxSources     = 64
	others         = "others"
)

// crowded counts lines by source. The zero value is ready once it knows how to tell; it has memory for sources of the last period alone.
type crowded struct {
	tell func(*Entry)

	mu      sync.Mutex
	sources map[string]*source
	ended   bool
}

// source is who had lines in a period, which began with the first.
type source struct {
	lines, omitted int
	over           *time.Timer
}

// room reports whether a source may have another line, and counts it if not.
func (c *crowded) room(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[name]
	if s == nil && len(c.sources) >= maxSources {
		name = others
		s = c.sources[name]
	}
	if s == nil {
		if c.ended {
			return true // nobody would tell the number
		}
		s = &source{over: time.AfterFunc(period, func() { c.close(name) })}
		if c.sources == nil {
			c.sources = map[string]*source{}
		}
		c.sources[name] = s
	}
	if s.lines++; s.lines <= linesPerSource {
		return true
	}
	s.omitted++
	return false
}

// close ends the period of a source.
func (c *crowded) close(name string) {
	c.mu.Lock()
	s := c.sources[name]
	delete(c.sources, name)
	c.mu.Unlock()
	if s == nil {
		return
	}
	s.over.Stop()
	if s.omitted > 0 {
		c.tell(&Entry{Source: name, Outcome: Omitted, Count: s.omitted})
	}
}

// end ends all periods, and begins no other.
func (c *crowded) end() {
	c.mu.Lock()
	c.ended = true
	names := slices.Sorted(maps.Keys(c.sources))
	c.mu.Unlock()
	for _, name := range names {
		c.close(name)
	}
}
