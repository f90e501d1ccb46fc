package push

import (
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

// why says why a pair differs: one that the VM should have, or, when it should have none of that key, one that it has. was is the
// VM as it was last seen in order; nil when this server has not seen it so yet.
func (l *look) why(p extraconfig.Pair, desired bool, was *sight) Why {
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

// told is why as it is told: what a power-off or a revert brought back is nobody's drift.
func (l *look) told(p extraconfig.Pair, desired bool, was *sight) Why {
	why := l.why(p, desired, was)
	if why == WhyDrift && l.moved() {
		return WhyPending
	}
	return why
}

// drifted gives the fields that somebody changed and that a delta puts back.
func (l *look) drifted(d extraconfig.Delta, was *sight) []string {
	var fields []string
	add := func(p extraconfig.Pair, desired bool) {
		if field := p.Field(); l.told(p, desired, was) == WhyDrift && !slices.Contains(fields, field) {
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
