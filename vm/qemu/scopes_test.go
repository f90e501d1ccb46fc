package qemu_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/qemu"
	"github.com/vmexecutor/config-server/vm/vmtest"
)

var update = flag.Bool("update", false, "write the table of docs/scopes.md anew")

// TestScopes plays the guest over the real socket.
func TestScopes(t *testing.T) {
	f := newFixture(t)
	vmtest.Scopes(t, vmtest.Channel{
		Name:   "qemu",
		Driver: blind{f.Driver, t},
		NewVM:  func(*testing.T) string { return f.name() },
		Guest:  func(t *testing.T, executor, _ string) vmtest.Guest { return boot(t, f.Driver, executor) },
	})
}

// blind is the driver, and a look at what it is given: nothing hidden ever comes to it.
type blind struct {
	*qemu.Driver
	t *testing.T
}

func (b blind) Apply(ctx context.Context, instance string, c vm.Change) error {
	for _, p := range c.Set {
		if !p.Scope().GuestVisible() {
			b.t.Errorf("the driver is given %s", p.Key)
		}
	}
	return b.Driver.Apply(ctx, instance, c)
}

// TestScopesPage holds docs/scopes.md to the table that is run. go test ./vm/qemu -run TestScopesPage -update writes it.
func TestScopesPage(t *testing.T) {
	const page, begins = "../../docs/scopes.md", "\n| | on vSphere |"
	text, err := os.ReadFile(page)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), begins)
	if !ok {
		t.Fatalf("%s has no table", page)
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	want := before + "\n" + vmtest.Table() + "\n" + after
	if *update {
		must(t, os.WriteFile(page, []byte(want), 0o600))
	} else if string(text) != want {
		t.Errorf("%s is not what the table says: run this test with -update", page)
	}
}
