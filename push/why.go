package push

import (
	"hash/maphash"
	"slices"

	"github.com/vmexecutor/config-server/extraconfig"
)

// Why says for what reason a key differs.
type Why string

const (
	WhyPending Why = "pending" // the store has something newer, which the next push brings
	WhyDrift   Why = "drift"   // nobody who may has changed the VM; the next push puts it back
	WhyReport  Why = "report"  // the guest set it, and the store takes it
)

// pushed remembers which pairs a VM was seen to hold, in eight bytes each.
type pushed []uint64

var pushedSeed = maphash.MakeSeed()

func pushedOf(keys extraconfig.KeySet) pushed {
	list := make(pushed, 0, keys.Len())
	for p := range keys.All() {
		list = append(list, hashOf(p))
	}
	slices.Sort(list)
	return list
}

func hashOf(p extraconfig.Pair) uint64 {
	return maphash.Comparable(pushedSeed, [2]string{p.Key, p.Value})
}

// sumOf tells two states of a VM's keys apart.
func sumOf(keys map[string]string) (sum uint64) {
	for key, value := range keys {
		sum += maphash.Comparable(pushedSeed, [2]string{key, value})
	}
	return sum
}

func (l pushed) has(p extraconfig.Pair) bool {
	_, found := slices.BinarySearch(l, hashOf(p))
	return found
}

// why says why a pair differs: one that the VM should have, or, when it should have none of that key, one that it has. was is what
// the VM was last seen to hold; nil when this server has not seen it in order yet.
func (l *look) why(p extraconfig.Pair, desired bool, was pushed) Why {
	field, base := p.Field(), l.e.Binding.Base
	switch {
	case l.reported[field] != "" || l.held[field]:
		return WhyReport
	case base == nil || l.hosted:
		return WhyPending
	case p.Scope() == extraconfig.ReadWrite && !p.NonPersistent():
		if l.asked[field] == base[field] {
			return WhyDrift
		}
		return WhyPending
	case was != nil:
		if was.has(p) == desired {
			return WhyDrift
		}
		return WhyPending
	case !p.NonPersistent() && l.e.Binding.Seen.Config == l.e.ConfigRevision:
		return WhyDrift // nothing was configured since
	}
	return WhyPending
}

// drifted gives the fields that a delta puts back.
func (l *look) drifted(d extraconfig.Delta, was pushed) []string {
	var fields []string
	add := func(p extraconfig.Pair, desired bool) {
		if field := p.Field(); l.why(p, desired, was) == WhyDrift && !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	for _, p := range d.Set {
		add(p, true)
	}
	for _, key := range d.Delete {
		if p, ok := l.observed.Get(key); ok {
			add(p, false)
		}
	}
	slices.Sort(fields)
	return fields
}
