package vsphere

import (
	"context"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// VMs that nobody asks about are not followed for ever, and are again when somebody does.
func TestForgetIdle(t *testing.T) {
	sim, err := simulator.Start(t.Context(), simulator.Options{Listen: "127.0.0.1:0", VMs: 2})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{URL: sim.URL(), Username: simulator.Username, Password: simulator.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := sim.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	instance, err := d.Resolve(t.Context(), "vm1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := d.Observe(t.Context(), instance); err != nil {
			t.Fatal(err)
		}
		f, err := d.live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.forgetIdle(time.Now().Add(-time.Minute))
		if len(f.vms) != 1 {
			t.Fatal("a VM that was asked about is forgotten")
		}
		f.forgetIdle(time.Now().Add(time.Minute))
		if len(f.vms) != 0 || len(f.byRef) != 0 {
			t.Fatal("a VM that nobody asks about is not forgotten")
		}
	}
}
