package guest

import (
	"maps"
	"slices"
)

// maxNames bounds what is held of changes that were not told yet. More than that is: any key.
const (
	maxNames     = 1024
	maxNameBytes = 64 << 10
)

// changes are those that somebody has not been told of yet, as one. The zero value is none.
type changes struct {
	there    bool
	all      bool
	revision uint64
	names    map[string]struct{}
	bytes    int
}

// add adds a change. No names mean that any key may have changed.
func (c *changes) add(revision uint64, names []string) {
	c.there = true
	c.revision = max(c.revision, revision)
	if len(names) == 0 {
		c.any()
	}
	for _, name := range names {
		if c.all {
			return
		}
		if _, ok := c.names[name]; ok {
			continue
		}
		if len(c.names) == maxNames || c.bytes+len(name) > maxNameBytes {
			c.any()
			return
		}
		if c.names == nil {
			c.names = map[string]struct{}{}
		}
		c.names[name] = struct{}{}
		c.bytes += len(name)
	}
}

func (c *changes) any() { c.there, c.all, c.names, c.bytes = true, true, nil, 0 }

// take gives all that was added, and forgets it.
func (c *changes) take() (Change, bool) {
	taken := *c
	*c = changes{}
	return Change{Revision: taken.revision, Keys: slices.Sorted(maps.Keys(taken.names)), All: taken.all}, taken.there
}
