package push

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// look is a VM as it was seen, beside what it should be. What a push does, what a plan says and what an explanation tells all
// follow from it.
type look struct {
	sight
	e       *store.Executor // its Binding has the base: what was last pushed or accepted
	boot    string          // names the boot that the VM is in
	hosted  bool            // by a vm.Host: nobody writes there but us and the guest, who asks before
	desired extraconfig.KeySet
	fields  map[string]string // digests of its read-write fields
	asked   map[string]string // and of all that the store has, delivered or not
	// delivered is the configuration less the execs that this boot does not have.
	delivered *executor.ExecutorConfig

	reported map[string]string // fields that the guest set, with their digests
	torn     []string          // fields that the guest set and that do not parse: it may still be writing them
	held     map[string]bool   // those of them that are left alone for now
	wait     time.Duration     // and how long
	ended    []string          // execs whose boot is over, and that do not say so yet
	due      []string          // execs that are to be delivered for the first time
	made     extraconfig.Delta // the change that was made then
}

// sight is a VM as it was seen. It is shared: nobody changes it.
type sight struct {
	state    vm.State
	observed extraconfig.KeySet // the keys of ours among its keys
	had      map[string]string  // digests of their read-write fields
}

// sightOf makes a sight of a state. Most VMs hold what they held when they were last seen in order, and their keys are told apart already.
func (r *Reconciler) sightOf(state vm.State, last *sight) sight {
	if last != nil && equal(state.Keys, last.state.Keys) {
		return sight{state, last.observed, last.had}
	}
	observed := r.Store.Codec().Parse(state.Keys)
	return sight{state, observed, observed.Fields()}
}

// equal reports whether two VMs' keys are the same. A driver may give one map again and again, until the VM changes.
func equal(a, b map[string]string) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer() || maps.Equal(a, b)
}

// has reports whether the VM held a pair.
func (s *sight) has(p extraconfig.Pair) bool {
	held, ok := s.observed.Get(p.Key)
	return ok && held.Value == p.Value
}

// holderKey tells in a VM which executor it belongs to.
const holderKey = "guestinfo.vice./common/id"

// observe looks at the VM, which had a change made to it after the look before, if there was one. It refuses a VM that belongs to
// another executor.
func (r *Reconciler) observe(ctx context.Context, driver vm.Driver, e *store.Executor, before *look) (*look, error) {
	state, err := driver.Observe(ctx, e.Binding.Instance)
	if err != nil {
		return nil, err
	}
	_, hosted := driver.(vm.Host)
	if before != nil && before.fulfilled(e, state) {
		return &look{
			sight: sight{state, before.desired, before.fields}, e: e, boot: before.boot, hosted: hosted, delivered: before.delivered,
			desired: before.desired, fields: before.fields, asked: before.asked,
		}, nil
	}
	return r.lookAt(e, state, hosted)
}

// fulfilled reports whether a VM is as it was but for the change, and holds exactly what it should by now. Most are, and it takes
// no decoding to see that.
func (l *look) fulfilled(e *store.Executor, state vm.State) bool {
	if e.Config != l.e.Config || state.Epoch != l.state.Epoch || state.Power != l.state.Power || state.Booting != l.state.Booting || len(l.held)+len(l.due)+len(l.ended) > 0 {
		return false
	}
	added := 0
	for key, value := range state.Keys {
		was, had := l.state.Keys[key]
		if !had {
			added++
		}
		if (!had || was != value) && !slices.ContainsFunc(l.made.Set, func(p extraconfig.Pair) bool { return p.Key == key }) {
			return false
		}
	}
	for _, key := range l.made.Delete {
		if _, left := state.Keys[key]; left {
			return false
		}
	}
	added -= len(l.made.Delete)
	if len(state.Keys) != len(l.state.Keys)+added || l.desired.Len() != l.observed.Len()+added {
		return false
	}
	for p := range l.desired.All() {
		if value, ok := state.Keys[p.Key]; !ok || value != p.Value {
			return false // or it is there in another spelling
		}
	}
	return true
}

func (r *Reconciler) lookAt(e *store.Executor, state vm.State, hosted bool) (*look, error) {
	l := &look{sight: r.sightOf(state, r.table.get(task{executor: e.Config.ID}).was(e.Binding)), e: e, hosted: hosted}
	l.boot = e.Binding.Driver + "/" + e.Binding.Instance + "/" + bootOf(state)
	holder := l.holder()
	if e.Binding.Base == nil && !e.Binding.TakeOver && holder != "" && holder != e.Config.ID {
		return nil, fmt.Errorf("the VM belongs to executor %q: bind with takeOver=true to replace it", holder)
	}
	if err := r.ask(l); err != nil {
		return nil, err
	}
	return l, r.findReports(l)
}

// bootOf tells the boots of a VM apart.
func bootOf(s vm.State) string {
	if s.Boot == "" {
		return s.Epoch
	}
	return s.Boot
}

// holder is the executor that the VM says it belongs to.
func (l *look) holder() string {
	p, _ := l.observed.Get(holderKey)
	return p.Value
}

// ask finds out what the store asks of the VM in this boot.
func (r *Reconciler) ask(l *look) error {
	l.ended, l.due = nil, nil
	config := *l.e.Config
	config.Execs = nil
	for _, id := range slices.Sorted(maps.Keys(l.e.Config.Execs)) {
		exec, boot := l.e.Config.Execs[id], l.e.Boots[id]
		stopped := exec.Detail.StopTime != 0
		switch {
		case boot == "" && !stopped && l.state.Power == vm.PowerOn && !l.state.Booting:
			l.due = append(l.due, id)
		case boot == l.boot && l.state.Power != vm.PowerOff:
		case l.hosted && l.state.Epoch == "" && boot != "" && l.state.Power != vm.PowerOff: // no guest has told yet
		case boot != "" && !stopped:
			l.ended = append(l.ended, id)
			continue
		default:
			continue // it waits for a boot, or had one
		}
		if config.Execs == nil {
			config.Execs = map[string]*executor.SessionConfig{}
		}
		config.Execs[id] = exec
	}
	delivered := *l.e
	delivered.Config = &config
	var err error
	if l.desired, err = r.Store.KeySet(&delivered); err != nil {
		return err
	}
	if l.hosted {
		l.desired = l.desired.Filter(func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() })
	}
	l.delivered, l.fields = &config, l.desired.Fields()
	if l.asked = l.fields; len(config.Execs) == len(l.e.Config.Execs) {
		return nil
	}
	all, err := r.Store.KeySet(l.e)
	l.asked = all.Fields()
	return err
}

// fresh reports whether old values may have come back since the base was confirmed: a power-off or a revert to a snapshot brings
// them. A VM that was seen off, and is on, has what it had then, and what its guest wrote.
func (l *look) fresh() bool {
	seen := l.e.Binding.Seen
	return !l.hosted && l.moved() && !(vm.Power(seen.Power) == vm.PowerOff && l.state.Power == vm.PowerOn)
}

// reverted reports whether keys went back, or went, that no guest can write. vSphere need not show a VM's keys and its power at
// once: what a guest's keys were before is then no report, though the VM seems to run.
func (l *look) reverted(was *sight) bool {
	if was == nil {
		return false
	}
	d := extraconfig.Diff(l.observed, l.desired)
	drifted := func(p extraconfig.Pair, desired bool) bool {
		return p.Scope() != extraconfig.ReadWrite && l.why(p, desired, was) == WhyDrift
	}
	return slices.ContainsFunc(d.Set, func(p extraconfig.Pair) bool { return drifted(p, true) }) ||
		slices.ContainsFunc(d.Delete, func(key string) bool {
			p, ok := l.observed.Get(key)
			return ok && drifted(p, false)
		})
}

// moved reports whether the VM was switched or reverted since the base was confirmed.
func (l *look) moved() bool {
	seen := l.e.Binding.Seen
	if seen.Epoch == "" && seen.Power == "" {
		return false // nothing is known of it
	}
	return seen.Epoch != l.state.Epoch || (vm.Power(seen.Power) == vm.PowerOff) != (l.state.Power == vm.PowerOff)
}

// findReports finds the read-write fields that the guest has set: those whose value in the VM differs from the base, unless a client
// changed the field since. With no base there are none: at the first bind the store wins. Absence is never a report.
func (r *Reconciler) findReports(l *look) error {
	base := l.e.Binding.Base
	switch {
	case base == nil || l.hosted:
		return nil
	case l.state.Power == vm.PowerOff && !l.moved():
		return nil // it was off all the time: there was no guest
	}
	fresh, holder := l.fresh(), l.holder()
	reverted := sync.OnceValue(func() bool { return l.reverted(r.table.get(task{executor: l.e.Config.ID}).was(l.e.Binding)) })
	if holder != l.e.Config.ID && (fresh || holder != "") {
		return nil // it went back to what it was before it was ours
	}
	for field, digest := range l.had {
		if digest == l.asked[field] || digest == base[field] || l.asked[field] != base[field] || follows(l.e.Config, field) {
			continue
		}
		if l.e.Binding.Offered[field] != "" {
			continue // by us, as likely as not
		}
		if slices.Contains(l.e.Binding.Earlier[field], digest) && (fresh || reverted()) {
			continue
		}
		if l.reported == nil {
			l.reported = map[string]string{}
		}
		l.reported[field] = digest
	}
	if l.reported == nil {
		return nil
	}
	_, err := r.Store.Codec().DecodeReports(l.e.Config.Clone(), l.observed.Map(), func(field string) bool { return l.reported[field] != "" })
	var unparsable extraconfig.Errors
	if errors.As(err, &unparsable) {
		for _, e := range unparsable {
			if l.reported[e.Field] != "" {
				l.torn = append(l.torn, e.Field)
				delete(l.reported, e.Field)
			}
		}
		slices.Sort(l.torn)
		return nil
	}
	return err
}

// follows reports whether a field is a container network's and so not the guest's to set.
func follows(c *executor.ExecutorConfig, field string) bool {
	name, ok := strings.CutPrefix(field, "networks.")
	if !ok {
		return false
	}
	name, ok = strings.CutSuffix(name, ".network.type")
	if !ok {
		return false
	}
	endpoint := c.Networks[name]
	return endpoint != nil && endpoint.NetworkRef != ""
}

// delta is what makes the VM hold what it should, but for the fields that are left alone. While it is neither on nor off nobody
// knows which boot comes next, and what belongs to one stays as it is.
func (l *look) delta() extraconfig.Delta {
	settled := l.state.Power == vm.PowerOn && !l.state.Booting || l.state.Power == vm.PowerOff
	if settled && len(l.held) == 0 {
		return extraconfig.Diff(l.observed, l.desired)
	}
	keep := func(p extraconfig.Pair) bool { return (settled || !p.NonPersistent()) && !l.held[p.Field()] }
	return extraconfig.Diff(l.observed.Filter(keep), l.desired.Filter(keep))
}

// base is what is known to be in the VM's read-write fields once the delta is applied.
func (l *look) base() map[string]string {
	if len(l.held) == 0 {
		return l.fields
	}
	base := maps.Clone(l.fields)
	for field, digest := range l.e.Binding.Base {
		if l.held[field] {
			base[field] = digest
		}
	}
	for field := range l.held {
		if l.e.Binding.Base[field] == "" {
			delete(base, field)
		}
	}
	return base
}

// sighting is what is kept beside the base.
func (l *look) sighting() store.Sighting {
	power := string(l.state.Power)
	if l.hosted && l.state.Power == vm.PowerUnknown && l.e.Binding.Seen.Power != "" {
		power = l.e.Binding.Seen.Power // a VM that is not connected, or not yet, after a restart of ours, say
	}
	return store.Sighting{Epoch: l.state.Epoch, Boot: bootOf(l.state), Power: power, Config: l.e.ConfigRevision}
}

// reportSighting is what is kept beside the base that a report changes. Where old values may have come back, and are not put right yet,
// the sighting stays what it was, so that they are known for what they are.
func (l *look) reportSighting() store.Sighting {
	before, seen := l.e.Binding.Seen, l.sighting()
	if l.fresh() {
		return before
	}
	seen.Config = before.Config
	return seen
}

// replaces gives the read-write fields that a push overwrites, with the digests that are lost by it and that nothing remembers.
func (l *look) replaces() (replaced map[string]string) {
	b := l.e.Binding
	for field, digest := range l.had {
		if digest == l.fields[field] || l.held[field] || digest == b.Base[field] || slices.Contains(b.Earlier[field], digest) {
			continue
		}
		if replaced == nil {
			replaced = map[string]string{}
		}
		replaced[field] = digest
	}
	return replaced
}

// offers gives the read-write fields that a push brings and that are not what was last pushed or accepted, beside those of pushes
// before it whose fate is not known.
func (l *look) offers(d extraconfig.Delta) map[string]string {
	base, offered := l.e.Binding.Base, maps.Clone(l.e.Binding.Offered)
	if base == nil {
		return nil // what is found there is no report anyway
	}
	for _, p := range d.Set {
		if field := p.Field(); p.Scope() == extraconfig.ReadWrite && l.asked[field] != base[field] {
			if offered == nil {
				offered = map[string]string{}
			}
			offered[field] = l.asked[field]
		}
	}
	return offered
}

// endExecs marks execs as stopped whose boot is over. What they last reported stays.
func endExecs(c *executor.ExecutorConfig, ended []string, now time.Time) {
	for _, id := range ended {
		if exec := c.Execs[id]; exec != nil && exec.Detail.StopTime == 0 {
			exec.Detail.StopTime = executor.UnixSeconds(now.Unix())
		}
	}
}
