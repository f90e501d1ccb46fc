package qemu

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm"
)

// machine is a VM that is attached: what its guest is served, and how it stands.
type machine struct {
	driver                  *Driver
	instance, executor, ref string
	listener                *net.UnixListener
	server                  *guest.Server
	audit                   audit
	ctx                     context.Context // ends with Detach
	detach                  context.CancelFunc
	kick                    chan struct{} // has QMP looked at again
	setting                 chan struct{} // has room for one: whoever sets keys

	mu         sync.Mutex
	attachment vm.Attachment
	held       guest.Snapshot    // replaced, never changed
	version    uint64            // of held
	own        map[string]string // what the guest sets at the moment, as it travels
	epoch      string            // the boot id that the guest told last
	connected  int               // connections that there are
	greeted    bool              // the guest said hello since there are any
	power      vm.Power          // as QMP has it; unknown without
}

// attached takes the latest news of the executor.
func (m *machine) attached(a vm.Attachment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attachment = a
}

// state is what Observe answers.
func (m *machine) state() vm.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := vm.State{
		Keys: make(map[string]string, len(m.held.Keys)), Version: strconv.FormatUint(m.version, 10),
		Power: m.powerLocked(), Epoch: m.epoch,
	}
	for _, p := range m.held.Keys {
		s.Keys[p.Key] = extraconfig.Unescape(p.Value)
	}
	s.Booting = s.Power == vm.PowerOn && !m.greeted
	return s
}

// powerLocked is what QMP says, if anything: a connection means no more than that there is a monitor, and none means nothing.
func (m *machine) powerLocked() vm.Power {
	switch {
	case m.power != "" && m.power != vm.PowerUnknown && !(m.power == vm.PowerOff && m.connected > 0):
		return m.power
	case m.connected > 0:
		return vm.PowerOn
	}
	return vm.PowerUnknown
}

// present counts the machine for Guests.
func (m *machine) present() (connected, greeted int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.connected > 0 {
		connected = 1
	}
	if m.greeted {
		greeted = 1
	}
	return connected, greeted
}

// apply makes one change, and tells the guest of what is not as it knows it.
func (m *machine) apply(c vm.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Version != "" && c.Version != strconv.FormatUint(m.version, 10) {
		return vm.ErrConflict
	}
	keys := make(map[string]string, len(m.held.Keys)+len(c.Set))
	for _, p := range m.held.Keys {
		keys[p.Key] = p.Value
	}
	var news []string
	for _, key := range c.Delete {
		if _, had := keys[key]; had {
			delete(keys, key)
			news = append(news, key)
		}
	}
	for _, p := range c.Set {
		if !utf8.ValidString(p.Value) {
			return fmt.Errorf("the value of %s is not UTF-8, and cannot travel", p.Key)
		}
		value := extraconfig.Escape(p.Value)
		old, had := keys[p.Key]
		if had && old == value {
			continue
		}
		keys[p.Key] = value
		if set, own := m.own[p.Key]; !own || set != value {
			news = append(news, p.Key)
		}
	}
	held := guest.Snapshot{Revision: max(m.held.Revision, c.Revision), Keys: make([]guest.Pair, 0, len(keys))}
	for key, value := range keys {
		held.Keys = append(held.Keys, guest.Pair{Key: key, Value: value})
	}
	slices.SortFunc(held.Keys, func(a, b guest.Pair) int { return cmp.Compare(a.Key, b.Key) })
	m.held = held
	m.version++
	if len(news) > 0 {
		slices.Sort(news)
		m.server.Changed(held.Revision, slices.Compact(news)...)
	}
	return nil
}

// settled notes which revision the keys are those of.
func (m *machine) settled(revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held.Revision = max(m.held.Revision, revision)
}

// joined notes that there is a connection more, or less.
func (m *machine) joined(more int) {
	m.mu.Lock()
	m.connected += more
	if m.connected == 0 {
		m.greeted = false
	}
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
	m.driver.hint(m.instance)
}

// seen notes what QMP says.
func (m *machine) seen(power vm.Power) {
	m.mu.Lock()
	changed := m.power != power
	m.power = power
	m.mu.Unlock()
	if changed {
		m.driver.hint(m.instance)
	}
}

// begin notes which boot a guest tells of.
func (m *machine) begin(boot string) vm.Attachment {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.greeted = boot, true
	return m.attachment
}

// sets notes what the guest sets at the moment.
func (m *machine) sets(keys []guest.Pair) vm.Attachment {
	own := make(map[string]string, len(keys))
	for _, p := range keys {
		own[p.Key] = p.Value
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = own
	return m.attachment
}

// snapshot is what the guest may see.
func (m *machine) snapshot() guest.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}
