package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/models"
)

// guestPrefix begins the keys that vSphere shows to a guest. It shows no others.
const guestPrefix = "guestinfo."

// guestSees tells who can see a key, by the rule of vSphere alone.
func guestSees(key string) bool { return strings.HasPrefix(key, guestPrefix) }

// values gives a key set by key.
func values(rows []*models.KeyRow) map[string]string {
	m := make(map[string]string, len(rows))
	for _, r := range rows {
		m[r.Key] = r.Value
	}
	return m
}

// checkVM holds what the VM holds against what it should: the keys that the server reports and those
// that were in the VM before, all as they are, and nothing else.
func checkVM(held map[string]string, reported []*models.KeyRow, others map[string]string) error {
	want := values(reported)
	maps.Copy(want, others)
	d := difference(want, held)
	if len(d.deleted) > 0 {
		key := d.deleted[0]
		if _, other := others[key]; other {
			return fmt.Errorf("the VM lost %s, which belongs to another tool", key)
		}
		return fmt.Errorf("the VM does not hold %s, which GET /keys reports", key)
	}
	if len(d.set) > 0 {
		key := d.set[0]
		value, expected := want[key]
		if !expected {
			return fmt.Errorf("the VM holds %s, which nobody reports", key)
		}
		return fmt.Errorf("the VM holds %q under %s, and should hold %q", held[key], key, value)
	}
	return nil
}

// checkScopes finds a key that a guest sees and must not, or the other way round.
func checkScopes(reported []*models.KeyRow) error {
	for _, r := range reported {
		if hidden := r.Scope == models.KeyRowScopeHidden; hidden == guestSees(r.Key) {
			return fmt.Errorf("the scope of %s is %s, and that a guest sees it is %v", r.Key, r.Scope, guestSees(r.Key))
		}
	}
	return nil
}

// change is what differs between two key sets, in order.
type change struct {
	set     []string // keys that are new or have another value
	deleted []string
}

func difference(before, after map[string]string) change {
	var c change
	for key, value := range after {
		if old, had := before[key]; !had || old != value {
			c.set = append(c.set, key)
		}
	}
	for key := range before {
		if _, has := after[key]; !has {
			c.deleted = append(c.deleted, key)
		}
	}
	slices.Sort(c.set)
	slices.Sort(c.deleted)
	return c
}

// keys are all that differ.
func (c change) keys() []string { return slices.Concat(c.set, c.deleted) }

func (c change) equal(d change) bool {
	return slices.Equal(c.set, d.set) && slices.Equal(c.deleted, d.deleted)
}
