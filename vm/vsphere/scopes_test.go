package vsphere_test

import (
	"encoding/base64"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmtest"
)

// TestScopes plays the guest over the channel that a VM's tools have.
func TestScopes(t *testing.T) {
	f := newFixture(t, len(vmtest.Cases))
	vmtest.Scopes(t, vmtest.Channel{
		Name:   "vsphere",
		Driver: f.driver,
		NewVM:  func(t *testing.T) string { return f.vm(t).name },
		Guest: func(t *testing.T, _, ref string) vmtest.Guest {
			v := &simVM{f, ref}
			return &tools{v, v.properties(t).Config.InstanceUuid}
		},
	})
}

// tools are those in a simulated VM.
type tools struct {
	vm       *simVM
	instance string
}

func (g *tools) Read(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for key := range g.vm.Keys(t) {
		if value, ok, err := g.vm.f.sim.GuestRead(g.instance, key); err == nil && ok {
			seen[key] = extraconfig.Unescape(value)
		}
	}
	return seen
}

// Config opens secrets with what is in guestinfo.ovfEnv, as guests have always done.
func (g *tools) Config(t *testing.T) *executor.ExecutorConfig {
	t.Helper()
	text, _, err := g.vm.f.sim.GuestRead(g.instance, "guestinfo.ovfEnv")
	must(t, err)
	key, err := base64.StdEncoding.DecodeString(text)
	must(t, err)
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	must(t, err)
	config, err := codec.Decode(g.Read(t), extraconfig.WithSecretKey(key))
	must(t, err)
	return config
}

func (g *tools) Write(_ *testing.T, keys map[string]string) error {
	for key, value := range keys {
		if err := g.vm.f.sim.GuestWrite(g.instance, key, extraconfig.Escape(value)); err != nil {
			return err
		}
	}
	return nil
}

func (g *tools) Delete(_ *testing.T, key string) error {
	return g.vm.f.sim.GuestWrite(g.instance, key, "")
}

func (g *tools) Reboot(t *testing.T) {
	g.vm.Power(t, vm.PowerOff)
	g.vm.Power(t, vm.PowerOn)
}
