package main

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/types"
)

// machine is a VM from outside, as a daemon powers it, and from inside, as the guest's agent reads and reports.
type machine struct {
	*site
	vm *object.VirtualMachine
}

func (s *site) machine(name string) *machine {
	s.Helper()
	return &machine{s, s.vm(name)}
}

func (m *machine) powerOn() {
	m.Helper()
	m.done(m.vm.PowerOn(m.Context()))
}

func (m *machine) powerOff() {
	m.Helper()
	m.done(m.vm.PowerOff(m.Context()))
}

// keys are all that the VM holds.
func (m *machine) keys() map[string]string {
	m.Helper()
	held, err := held(m.Context(), m.vm)
	if err != nil {
		m.Fatal(err)
	}
	return held
}

// reads expects what the guest can read at a key, which has the form of those that it can only read.
func (m *machine) reads(key, want string) {
	m.Helper()
	if got := m.keys()["guestinfo.vice./"+key]; got != want {
		m.Errorf("the guest reads %q at %s, want %q", got, key, want)
	}
}

// reports writes as the guest's agent would: keys of the form that a guest may set, in one change.
func (m *machine) reports(pairs map[string]string) {
	m.Helper()
	var spec types.VirtualMachineConfigSpec
	for key, value := range pairs {
		if strings.Contains(key, "/") {
			m.Fatalf("no guest can set %s", key)
		}
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: "guestinfo.vice.." + key, Value: value})
	}
	m.done(m.vm.Reconfigure(m.Context(), spec))
}

// starts reports that a session's process runs; at is sessions|<id> or execs|<id>.
func (m *machine) starts(at string, when time.Time) {
	m.Helper()
	m.reports(map[string]string{
		sessionKey(at, "started"):          "true",
		sessionKey(at, "detail.starttime"): strconv.FormatInt(when.Unix(), 10),
	})
}

// exits reports that it ended.
func (m *machine) exits(at string, code int, when time.Time) {
	m.Helper()
	m.reports(map[string]string{
		sessionKey(at, "status"):          strconv.Itoa(code),
		sessionKey(at, "detail.stoptime"): strconv.FormatInt(when.Unix(), 10),
	})
}

func sessionKey(at, field string) string {
	key := at + "." + field
	if strings.HasPrefix(at, "execs|") {
		key += "@non-persistent"
	}
	return key
}

// joins reports the address that an endpoint got.
func (m *machine) joins(endpoint, address string) {
	m.Helper()
	p := netip.MustParsePrefix(address)
	ip := p.Addr().As16()
	mask := [4]byte{}
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	m.reports(map[string]string{
		"networks|" + endpoint + ".assigned.IP":   base64.StdEncoding.EncodeToString(ip[:]),
		"networks|" + endpoint + ".assigned.Mask": base64.StdEncoding.EncodeToString(mask[:]),
	})
}

// becomesClean waits until the VM holds no key of ours, and expects the other tools' to be left.
func (m *machine) becomesClean() {
	m.Helper()
	err := property.Wait(m.Context(), property.DefaultCollector(m.vm.Client()), m.vm.Reference(), []string{"config.extraConfig"}, func(changes []types.PropertyChange) bool {
		for key := range m.keys() {
			if strings.HasPrefix(key, "guestinfo.vice.") || strings.HasPrefix(key, "annotations") || strings.HasPrefix(key, "common/") {
				return false
			}
		}
		return true
	})
	if err != nil {
		m.Fatal(err)
	}
	if m.keys()["guestinfo.metadata"] == "" {
		m.Error("another tool's key is gone")
	}
}
