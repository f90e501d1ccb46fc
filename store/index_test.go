package store_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// named checks an error of a name that is taken.
func (f *fixture) named(err error, holder string) {
	f.Helper()
	f.mustFail(err, store.ErrNameTaken)
	var taken *store.NameError
	if !errors.As(err, &taken) || taken.Holder != holder || !strings.Contains(err.Error(), holder) {
		f.Errorf("the error is %v, want one that names %s", err, holder)
	}
}

func TestUniqueNames(t *testing.T) {
	f := open(t)
	named := func(id, name string) *executor.ExecutorConfig {
		return &executor.ExecutorConfig{Common: executor.Common{ID: id, Name: name}}
	}
	create := func(id, name string, opts ...store.WriteOption) error {
		_, err := f.CreateExecutor(t.Context(), named(id, name), nil, opts...)
		return err
	}
	odd := "a / name\t" + strings.Repeat("long", 10_000)
	f.must(create("a", "web", store.UniqueName()))
	f.must(create("odd", odd, store.UniqueName()))
	f.named(create("b", odd, store.UniqueName()), "odd")
	f.named(create("b", "web", store.UniqueName()), "a")
	f.must(create("b", "web")) // who does not ask for it may share
	f.must(create("c", "Web", store.UniqueName()))
	f.must(create("none1", "", store.UniqueName()))
	f.must(create("none2", "", store.UniqueName()))

	_, _, err := f.PutExecutor(t.Context(), named("c", "web"), store.UniqueName())
	f.named(err, "a")
	_, _, err = f.PutExecutor(t.Context(), named("new", "web"), store.UniqueName())
	f.named(err, "a")
	_, _, err = f.PutExecutor(t.Context(), named("b", "web"), store.UniqueName())
	f.named(err, "a") // also when nothing would change
	rename := func(c *executor.ExecutorConfig) error { c.Name = "web"; return nil }
	_, err = f.UpdateExecutor(t.Context(), "c", rename, store.UniqueName())
	f.named(err, "a")

	// Who lets go of a name leaves it to others.
	_, err = f.UpdateExecutor(t.Context(), "a", func(c *executor.ExecutorConfig) error { c.Name = "other"; return nil }, store.UniqueName())
	f.must(err)
	f.must(f.DeleteExecutor(t.Context(), "b"))
	_, err = f.UpdateExecutor(t.Context(), "c", rename, store.UniqueName())
	f.must(err)
	f.still(func() {
		_, err = f.UpdateExecutor(t.Context(), "c", rename, store.UniqueName())
		f.must(err)
	})

	f.race = func() { f.must(create("d", "quick")) }
	f.named(create("e", "quick", store.UniqueName()), "d")
}

func TestOneOfManyGetsAName(t *testing.T) {
	f := open(t)
	var wins atomic.Int32
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			_, err := f.CreateExecutor(t.Context(), &executor.ExecutorConfig{Common: executor.Common{Name: "web"}}, nil, store.UniqueName())
			switch {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, store.ErrNameTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d executors got one name", wins.Load())
	}
}

// held checks an error of an address that is taken.
func (f *fixture) held(err error, holder string) {
	f.Helper()
	f.mustFail(err, store.ErrAddressTaken)
	var taken *store.AddressError
	if !errors.As(err, &taken) || taken.Holder != holder || !strings.Contains(err.Error(), holder) {
		f.Errorf("the error is %v, want one that names %s", err, holder)
	}
}

func TestStaticAddressesAreGivenOnce(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.network("other", nil)
	at := func(network, ip string) *executor.NetworkEndpoint {
		p := netip.MustParsePrefix(ip)
		return &executor.NetworkEndpoint{NetworkRef: network, Static: true, IP: &p}
	}
	on := func(id string, endpoints map[string]*executor.NetworkEndpoint) *executor.ExecutorConfig {
		return &executor.ExecutorConfig{Common: executor.Common{ID: id}, Networks: endpoints}
	}
	type endpoints = map[string]*executor.NetworkEndpoint
	put := func(id string, e endpoints) error {
		_, _, err := f.PutExecutor(t.Context(), on(id, e))
		return err
	}
	f.must(put("a", endpoints{"eth0": at("net", "172.16.0.2/16"), "eth6": at("net", "fd00::2/64")}))
	f.held(put("b", endpoints{"eth0": at("net", "172.16.0.2/16")}), "a/eth0")
	f.held(put("b", endpoints{"eth0": at("net", "172.16.0.2/24")}), "a/eth0") // an address is one whatever its prefix
	f.held(put("b", endpoints{"eth0": at("net", "fd00:0::2/64")}), "a/eth6")
	f.held(put("b", endpoints{"x": at("net", "172.16.0.3/16"), "y": at("net", "172.16.0.3/16")}), "b/x")
	_, err := f.CreateExecutor(t.Context(), on("b", endpoints{"eth0": at("net", "172.16.0.2/16")}), nil)
	f.held(err, "a/eth0")

	// Elsewhere the address is another one: on another network, on none, when it is not static.
	loose := at("net", "172.16.0.2/16")
	loose.Static = false
	f.must(put("b", endpoints{"eth0": at("other", "172.16.0.2/16"), "eth1": at("", "172.16.0.2/16"), "eth2": loose}))
	f.held(put("b", endpoints{"eth0": at("net", "172.16.0.2/16")}), "a/eth0")
	_, err = f.UpdateExecutor(t.Context(), "b", func(c *executor.ExecutorConfig) error {
		c.Networks["eth2"].Static = true
		return nil
	})
	f.held(err, "a/eth0")

	// It moves within its executor, and is free when it is let go of: by a change, by leaving the network, by deletion.
	f.must(put("a", endpoints{"eth1": at("net", "172.16.0.2/16")}))
	f.held(put("c", endpoints{"eth0": at("net", "172.16.0.2/16")}), "a/eth1")
	f.must(put("a", endpoints{"eth1": at("net", "172.16.0.9/16")}))
	f.must(put("c", endpoints{"eth0": at("net", "172.16.0.2/16")}))
	_, err = f.UpdateExecutor(t.Context(), "c", func(c *executor.ExecutorConfig) error {
		c.Networks["eth0"].NetworkRef = ""
		return nil
	})
	f.must(err)
	f.must(put("d", endpoints{"eth0": at("net", "172.16.0.2/16")}))
	f.must(f.DeleteExecutor(t.Context(), "d"))
	f.race = func() { f.must(put("e", endpoints{"eth0": at("net", "172.16.0.2/16")})) }
	f.held(put("f", endpoints{"eth0": at("net", "172.16.0.2/16")}), "e/eth0")
}
