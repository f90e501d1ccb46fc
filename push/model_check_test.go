package push

import (
	"maps"
	"slices"
	"strconv"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

func (m *model) revision() uint64 {
	revision, err := m.store.Revision(m.Context())
	if err != nil {
		m.fail("%v", err)
	}
	return revision
}

// read looks at what the feed tells since the last time, in order.
func (m *model) read() {
	for m.fed < m.revision() {
		var e store.Event
		for next, err := range m.store.Watch(m.Context(), m.fed) {
			if err != nil {
				m.fail("%v", err)
			}
			e, m.fed = next, next.Revision
			break
		}
		switch e.Action {
		case store.ActionUpdate:
			for _, field := range []string{statusField, assignedField} {
				if value, ok := e.Values[field]; ok {
					l := m.ledger(e.ID, field)
					l.client, l.at, l.known[value] = value, m.hv.step, true
					clear(l.ours)
					now := m.executor(e.ID)
					if b := now.Binding; b != nil {
						box := m.hv.boxes[b.Ref]
						box.holds(m.hv.State(box.instance).Keys[statusKey], m.hv.step)
						if value == box.given[keyOf(field)] || m.confirmed(now, field) {
							l.client = "" // back at what the VM has been given, or came to hold, before anything else was
						}
					}
				}
			}
		case store.ActionReport:
			for _, field := range []string{statusField, assignedField} {
				if value, ok := e.Values[field]; ok {
					m.reported(e, field, value)
				}
			}
		case store.ActionBind, store.ActionUnbind:
			m.bound[e.ID] = m.hv.step
			for _, field := range []string{statusField, assignedField} {
				clear(m.ledger(e.ID, field).ours)
			}
			if b := m.executor(e.ID).Binding; b != nil {
				clear(m.hv.boxes[b.Ref].seen)
				clear(m.hv.boxes[b.Ref].replaced) // what an earlier binding saw nobody remembers
			}
		}
	}
	m.hv.mu.Lock()
	defer m.hv.mu.Unlock()
	if len(m.hv.broken) > 0 {
		m.fail("%v", m.hv.broken)
	}
}

// confirmed reports whether a field is what the VM is known to hold. It may have come to hold that by itself, with a power-off.
func (m *model) confirmed(e *store.Executor, field string) bool {
	keys, err := m.store.KeySet(e)
	if err != nil {
		m.fail("%v", err)
	}
	digest := keys.Fields()[field]
	return digest != "" && digest == e.Binding.Base[field]
}

// reported checks that a report is one: its guest wrote it, after whatever was reported or set by a client before.
func (m *model) reported(e store.Event, field, value string) {
	binding := m.executor(e.ID).Binding
	m.did("report: %s has %s %s", e.ID, field, value)
	if binding == nil || m.bound[e.ID] == m.hv.step {
		return // of a VM that it is not bound to any more
	}
	l := m.ledger(e.ID, field)
	at := l.guests[binding.Ref][value]
	b := m.hv.boxes[binding.Ref]
	// A power-off or a snapshot may bring what was never seen, from before the VM was bound even: nobody can tell that from a report.
	unheard := !b.replaced[value] && slices.ContainsFunc(b.back, func(step int) bool { return at <= step && step <= b.seen[value] })
	switch {
	case unheard && (at == 0 || at < m.bound[e.ID]):
	case at == 0 || at < m.bound[e.ID]:
		m.fail("%s: %s %s was reported, and no guest wrote it", e.ID, field, value)
	case at <= l.reported && l.known[value]:
		m.fail("%s: %s came back as a report, %s: the guest wrote it at step %d, and something else after", e.ID, field, value, at)
	}
	if l.client != "" {
		arrived := slices.ContainsFunc(b.had[l.client], func(step int) bool { return l.at <= step && step <= at })
		if field == statusField && !unheard && !arrived {
			m.fail("%s: %s %s of a client, at step %d, was lost to %s of the guest, at step %d; the VM held it at steps %v",
				e.ID, field, l.client, l.at, value, at, b.had[l.client])
		}
	}
	l.client, l.reported, l.known[value] = "", at, true
	m.hv.boxes[binding.Ref].given[keyOf(field)] = value
}

func keyOf(field string) string {
	if field == statusField {
		return statusKey
	}
	return assignedIP
}

// checkStatus holds what statuses say against what is.
func (m *model) checkStatus() {
	for _, id := range m.ids {
		st, err := m.r.Status(m.Context(), id)
		if err != nil {
			m.fail("%v", err)
		}
		if st.State != StateSynced {
			continue
		}
		e := m.executor(id)
		if e.Revision != st.DesiredRevision {
			continue
		}
		keys, err := m.store.KeySet(e)
		if err != nil {
			m.fail("%v", err)
		}
		m.hv.mu.Lock()
		held := m.hv.boxes[e.Binding.Instance].held[persistent(keys).Digest()]
		m.hv.mu.Unlock()
		if !held {
			m.fail("%s is said to be synced at revision %d, and its VM never held that", id, st.PushedRevision)
		}
	}
}

// quiet lets everything come to rest, and checks that it is as it should be.
func (m *model) quiet() {
	m.did("quiet")
	fails := m.hv.worsen(0)
	for _, name := range m.vms {
		m.hv.Do(m.hv.boxes[name].instance, func(v *vmfake.VM) {
			if v.Power() == vm.PowerSuspended {
				v.Turn(vm.PowerOn)
			}
		})
	}
	m.rest()
	for _, id := range m.ids { // a VM that came back from a snapshot as another executor's
		if st, err := m.r.Status(m.Context(), id); err == nil && st.State == StateFailed {
			m.did("take over: %s", st.LastError)
			_, _, err := m.store.Bind(m.Context(), id, store.Binding{Driver: "vsphere", Ref: m.executor(id).Binding.Ref, TakeOver: true})
			if err != nil {
				m.fail("%v", err)
			}
		}
	}
	m.rest()
	for _, id := range m.ids {
		m.checkQuiet(id)
	}
	for _, name := range m.vms {
		b := m.hv.boxes[name]
		if id := m.hv.State(b.instance).Keys[holderKey]; m.holder(name) == nil && (id != "" || m.hv.SecretKey(b.instance) != "") {
			m.fail("%s is nobody's, and holds what was %q", name, id)
		}
	}
	m.hv.mu.Lock()
	writes, commits := m.hv.writes, m.revision()
	m.hv.mu.Unlock()
	m.restart("", nil)
	m.rest()
	if m.hv.writes != writes || m.revision() != commits {
		m.fail("a restart with nothing to do made %d changes and %d commits", m.hv.writes-writes, m.revision()-commits)
	}
	m.hv.worsen(fails)
}

func (m *model) rest() {
	<-time.After(4 * time.Minute)
	synctest.Wait()
	m.read()
	m.checkStatus()
}

func (m *model) checkQuiet(id string) {
	st, err := m.r.Status(m.Context(), id)
	if err != nil {
		m.fail("%v", err)
	}
	e := m.executor(id)
	if e.Binding == nil {
		if st.State != StateUnbound {
			m.fail("%s is %s, and not bound", id, st.State)
		}
		return
	}
	if st.State != StateSynced {
		m.fail("%s is %s: %s", id, st.State, st.LastError)
	}
	b := m.hv.boxes[e.Binding.Instance]
	state := m.hv.State(b.instance)
	boot := "vsphere/" + b.instance + "/" + state.Boot
	there := *e
	config := *e.Config
	config.Execs = maps.Clone(config.Execs)
	for exec, c := range config.Execs {
		switch delivered := e.Boots[exec]; {
		case delivered == boot && state.Power == vm.PowerOn:
			continue
		case delivered != "" && c.Detail.StopTime == 0:
			m.fail("exec %s of %s is over and does not say so", exec, id)
		case delivered == "" && c.Detail.StopTime == 0 && state.Power == vm.PowerOn:
			m.fail("exec %s of %s was not delivered", exec, id)
		}
		delete(config.Execs, exec)
	}
	there.Config = &config
	keys, err := m.store.KeySet(&there)
	if err != nil {
		m.fail("%v", err)
	}
	if d := extraconfig.Diff(m.store.Codec().Parse(state.Keys), keys); !d.Empty() {
		m.fail("%s: %s differs: set %v, delete %v", id, b.name, d.Set, d.Delete)
	}
	want, has := "", m.hv.SecretKey(b.instance)
	if hasSecret(keys) {
		want = string(e.SecretKey)
	}
	if has != want {
		m.fail("%s: %s has secrets: %v; the guest has the key: %v, and another one: %v", id, b.name, want != "", has == want, has != "")
	}
	m.checkNothingLost(e, b)
}

// checkNothingLost looks whether what a guest wrote last, and nothing can have undone, is in the store.
func (m *model) checkNothingLost(e *store.Executor, b *box) {
	for field, has := range map[string]string{
		statusField:   strconv.Itoa(e.Config.Sessions["main"].ExitStatus),
		assignedField: textOf(e.Config.Networks["eth0"]),
	} {
		for value, at := range m.ledger(e.Config.ID, field).ours[b.name] {
			if has != value && at > m.bound[e.Config.ID] {
				m.fail("%s: the store has %s %s, and the guest wrote %s at step %d", e.Config.ID, field, has, value, at)
			}
		}
		delete(m.ledger(e.Config.ID, field).ours, b.name)
	}
}

func textOf(n *executor.NetworkEndpoint) string {
	if !n.Assigned.IsValid() {
		return ""
	}
	return n.Assigned.String()
}
