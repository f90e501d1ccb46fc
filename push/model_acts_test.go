package push

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

// The fields that the model keeps books of.
const (
	statusField   = "sessions.main.exitStatus"
	assignedField = "networks.eth0.assigned"
	assignedIP    = "guestinfo.vice..networks|eth0.assigned.IP"
	assignedMask  = "guestinfo.vice..networks|eth0.assigned.Mask"
)

// ledger is what is known of one field of one executor.
type ledger struct {
	client   string                    // what a client wrote, and no report has replaced; empty for nothing
	at       int                       // at which step
	reported int                       // at which step the guest wrote what was last reported
	known    map[string]bool           // values that the store has had
	guests   map[string]map[string]int // by VM: values that its guest wrote, and at which step last
	ours     map[string]map[string]int // by VM: likewise, when it was new to everybody and nothing has happened since that may undo it
}

func (m *model) ledger(id, field string) *ledger {
	l := m.held[id+" "+field]
	if l == nil {
		l = &ledger{known: map[string]bool{}, guests: map[string]map[string]int{}, ours: map[string]map[string]int{}}
		m.held[id+" "+field] = l
	}
	return l
}

// holder is the executor that is bound to a VM.
func (m *model) holder(name string) *store.Executor {
	for _, id := range m.ids {
		if e := m.executor(id); e.Binding != nil && e.Binding.Ref == name {
			return e
		}
	}
	return nil
}

func (m *model) executor(id string) *store.Executor {
	e, err := m.store.Executor(m.Context(), id)
	if err != nil {
		m.fail("%v", err)
	}
	return e
}

func (m *model) update(id string, change func(*executor.ExecutorConfig)) {
	_, err := m.store.UpdateExecutor(m.Context(), id, func(c *executor.ExecutorConfig) error { change(c); return nil })
	if err != nil {
		m.fail("%v", err)
	}
}

func (m *model) clientConfigures(id string, _ *box) {
	m.n++
	m.did("client sets hostname of %s to h%d", id, m.n)
	m.update(id, func(c *executor.ExecutorConfig) {
		c.Hostname = fmt.Sprint("h", m.n)
		if c.Domainname = ""; m.n%2 == 0 {
			c.Domainname = "d"
		}
	})
}

func (m *model) clientReports(id string, _ *box) {
	m.n++
	value := m.n
	if m.rng.IntN(3) == 0 {
		value = 0
	}
	m.did("client sets exit status of %s to %d", id, value)
	m.update(id, func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = value })
}

func (m *model) clientExecs(id string, _ *box) {
	e := m.executor(id)
	for _, exec := range slices.Sorted(maps.Keys(e.Config.Execs)) {
		if m.rng.IntN(2) == 0 {
			m.did("client deletes exec %s of %s", exec, id)
			m.update(id, func(c *executor.ExecutorConfig) { delete(c.Execs, exec) })
			return
		}
	}
	m.n++
	m.did("client adds exec e%d to %s", m.n, id)
	m.update(id, func(c *executor.ExecutorConfig) {
		if c.Execs == nil {
			c.Execs = map[string]*executor.SessionConfig{}
		}
		c.Execs[fmt.Sprint("e", m.n)] = &executor.SessionConfig{Cmd: executor.Cmd{Path: "/bin/sh"}}
	})
}

// clientSecrets gives one of two mounts credentials, changes them, or takes them away.
func (m *model) clientSecrets(id string, _ *box) {
	m.n++
	source := executor.Source{Scheme: "nfs", Host: "nas", Path: "/export"}
	if m.rng.IntN(3) > 0 {
		source.User = url.UserPassword("user", fmt.Sprint("HIDDEN", m.n))
	}
	mount := []string{"data", "logs"}[m.rng.IntN(2)]
	m.did("client sets mount %s of %s, with credentials: %v", mount, id, source.User != nil)
	m.update(id, func(c *executor.ExecutorConfig) {
		if c.Mounts == nil {
			c.Mounts = map[string]executor.MountSpec{}
		}
		c.Mounts[mount] = executor.MountSpec{Source: source, Path: "/" + mount}
	})
}

// clientBinds binds or unbinds. Snapshots from before are gone: what came from an executor under an earlier binding nobody remembers.
func (m *model) clientBinds(id string, b *box) {
	for _, other := range m.hv.boxes {
		other.snapshot = false
	}
	if m.executor(id).Binding != nil && m.rng.IntN(2) == 0 {
		m.did("client unbinds %s", id)
		if err := m.store.Unbind(m.Context(), id); err != nil {
			m.fail("%v", err)
		}
		return
	}
	_, _, err := m.store.Bind(m.Context(), id, store.Binding{Driver: "vsphere", Ref: b.name, TakeOver: m.rng.IntN(2) == 0})
	if err != nil && !errors.Is(err, store.ErrClaimed) {
		m.fail("%v", err)
	}
	m.did("client binds %s to %s (%v)", id, b.name, err)
}

// guestWrites has the guest write a field whole. Now and then it writes what it wrote before.
func (m *model) guestWrites(_ string, b *box) {
	if m.power(b) != vm.PowerOn {
		return
	}
	m.n++
	value := m.n
	if m.rng.IntN(4) == 0 {
		value = 1 + m.rng.IntN(3)
	}
	field := statusField
	switch m.rng.IntN(4) {
	case 0:
		field = assignedField
		set := map[string]string{assignedIP: addressValue(value), assignedMask: maskValue(24)}
		m.did("guest of %s writes address %d", b.name, value)
		m.hv.set(b, set)
	case 1:
		for _, key := range slices.Sorted(maps.Keys(m.hv.State(b.instance).Keys)) {
			if name, ok := cutExecStatus(key); ok {
				m.did("guest of %s writes status of exec %s", b.name, name)
				m.hv.set(b, map[string]string{key: strconv.Itoa(value)})
				break
			}
		}
		return
	default:
		m.did("guest of %s writes status %d", b.name, value)
		m.hv.set(b, map[string]string{statusKey: strconv.Itoa(value)})
	}
	m.wrote(b, field, value == m.n)
}

// wrote keeps the books of what a field of the VM is now that its guest wrote it.
func (m *model) wrote(b *box, field string, fresh bool) {
	e := m.holder(b.name)
	if e == nil {
		return
	}
	keys := m.hv.State(b.instance).Keys
	value := keys[statusKey]
	if field == assignedField {
		value = prefixText(keys[assignedIP], keys[assignedMask])
	}
	l := m.ledger(e.Config.ID, field)
	if l.guests[b.name] == nil {
		l.guests[b.name] = map[string]int{}
	}
	last := l.guests[b.name][value]
	l.guests[b.name][value] = m.hv.step
	delete(l.ours, b.name)
	asked, err := m.store.KeySet(e)
	if err != nil {
		m.fail("%v", err)
	}
	waits := asked.Fields()[field] != e.Binding.Base[field]         // a client's value, which comes first
	ours := e.Binding.Base != nil && keys[holderKey] == e.Config.ID // else the guest runs with what is not from us
	if fresh && last == 0 && value != "" && !waits && ours && e.Binding.Offered[field] == "" {
		l.ours[b.name] = map[string]int{value: m.hv.step}
	}
}

// guestTears has the guest write half of a field, the other half, or nonsense.
func (m *model) guestTears(_ string, b *box) {
	if m.power(b) != vm.PowerOn {
		return
	}
	m.n++
	field := assignedField
	switch m.rng.IntN(4) {
	case 0:
		m.did("guest of %s writes an address %d without its mask", b.name, m.n)
		m.hv.set(b, map[string]string{assignedIP: addressValue(m.n)}, assignedMask)
	case 1:
		m.did("guest of %s writes a mask", b.name)
		m.hv.set(b, map[string]string{assignedMask: maskValue(16 + m.rng.IntN(8))})
	case 2:
		m.did("guest of %s writes an address %d over another", b.name, m.n)
		m.hv.set(b, map[string]string{assignedIP: addressValue(m.n)})
	default:
		field = statusField
		m.did("guest of %s writes nonsense", b.name)
		m.hv.set(b, map[string]string{statusKey: "nonsense"})
	}
	m.wrote(b, field, false)
}

func (m *model) operatorDrifts(_ string, b *box) {
	m.n++
	m.did("operator changes keys of %s", b.name)
	switch m.rng.IntN(4) {
	case 0:
		m.hv.set(b, map[string]string{"guestinfo.vice./hostname": fmt.Sprint("forged", m.n)})
	case 1:
		m.hv.set(b, nil, "common/notes", "guestinfo.vice./sessions|main/cmd/Path")
	case 2:
		m.hv.set(b, map[string]string{fmt.Sprintf("guestinfo.vice./sessions|ghost%d/tty", m.n): "true"})
	default:
		m.hv.set(b, map[string]string{"guestinfo.metadata": fmt.Sprint("another tool's ", m.n)})
	}
}

// undone notes that a VM may have lost what its guest wrote.
func (m *model) undone(b *box) {
	m.hv.mu.Lock()
	b.back = append(b.back, m.hv.step)
	m.hv.mu.Unlock()
	for _, l := range m.held {
		delete(l.ours, b.name)
	}
}

func (m *model) power(b *box) vm.Power { return m.hv.State(b.instance).Power }

func (m *model) operatorTurns(_ string, b *box) {
	to := vm.PowerOn
	if m.power(b) == vm.PowerOn {
		to = []vm.Power{vm.PowerOff, vm.PowerOff, vm.PowerSuspended}[m.rng.IntN(3)]
	}
	m.did("%s is %s", b.name, to)
	if to == vm.PowerOff {
		m.undone(b)
	}
	m.hv.Do(b.instance, func(v *vmfake.VM) { v.Turn(to) })
}

func (m *model) snapshots(_ string, b *box) {
	if !b.snapshot || m.rng.IntN(3) == 0 {
		m.did("snapshot of %s", b.name)
		b.snapshot = true
		m.hv.Do(b.instance, (*vmfake.VM).Snap)
		return
	}
	switch e := m.holder(b.name); {
	case e == nil:
		return // what a snapshot brings back to a VM that nobody has stays there
	case vm.Power(e.Binding.Seen.Power) == vm.PowerOff:
		return // from off to on by way of a snapshot is what nobody can tell from a mere start
	}
	m.did("%s is reverted", b.name)
	m.undone(b)
	m.hv.Do(b.instance, (*vmfake.VM).Revert)
}

func (m *model) restart(string, *box) {
	m.did("restart")
	m.stop()
	m.read()
	m.start()
}

func (m *model) weather(string, *box) {
	c := fair
	c.Fails = []float64{0, 0.1, 0.5, 1}[m.rng.IntN(4)]
	c.Hints = []float64{0, 0.7, 1}[m.rng.IntN(3)]
	m.did("%.0f%% of calls fail, %.0f%% of changes are hinted at", c.Fails*100, c.Hints*100)
	m.hv.weather.Set(c)
}

func cutExecStatus(key string) (string, bool) {
	var name string
	n, err := fmt.Sscanf(key, "guestinfo.vice..execs|%s", &name)
	const tail = ".status@non-persistent"
	if err != nil || n != 1 || len(name) <= len(tail) || name[len(name)-len(tail):] != tail {
		return "", false
	}
	return name[:len(name)-len(tail)], true
}

func addressValue(n int) string {
	a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).As16()
	return base64.StdEncoding.EncodeToString(a[:])
}

func maskValue(bits int) string {
	mask := ^uint32(0) << (32 - bits)
	return base64.StdEncoding.EncodeToString([]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)})
}

// prefixText is a pair of values as the feed tells it.
func prefixText(ip, mask string) string {
	a, err := base64.StdEncoding.DecodeString(ip)
	if err != nil || len(a) != 16 {
		return ""
	}
	b, err := base64.StdEncoding.DecodeString(mask)
	if err != nil || len(b) != 4 {
		return ""
	}
	bits := 0
	for _, x := range b {
		for ; x != 0; x <<= 1 {
			bits++
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte(a)).Unmap(), bits).String()
}
