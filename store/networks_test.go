package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

func TestNetworks(t *testing.T) {
	f := open(t)
	n := store.Network{Config: bridge("net", nil), Annotations: map[string]string{"owner": "alice"}}
	made, err := f.CreateNetwork(t.Context(), n)
	f.must(err)
	if e := f.event(0); e.Kind != store.KindNetwork || e.ID != "net" || e.Name != "net" || e.Action != store.ActionCreate {
		t.Errorf("the event is %+v", e)
	}
	read, err := f.Network(t.Context(), "net")
	f.must(err)
	if !reflect.DeepEqual(made, read) || made.Revision != 1 || made.CreateTime.IsZero() || made.Annotations["owner"] != "alice" {
		t.Errorf("made %+v, read %+v", made, read)
	}
	f.still(func() {
		_, err := f.CreateNetwork(t.Context(), n)
		f.mustFail(err, store.ErrExists)
		same, created, err := f.PutNetwork(t.Context(), n)
		f.must(err)
		if created || !reflect.DeepEqual(same, read) {
			t.Errorf("a PUT of the same gives %+v, created %v", same, created)
		}
	})
	n.Annotations, n.Config.Gateway = nil, netip.MustParsePrefix("172.17.0.1/16")
	put, created, err := f.PutNetwork(t.Context(), n)
	f.must(err)
	if created || put.Revision != 2 || !put.CreateTime.Equal(made.CreateTime) || put.Annotations != nil {
		t.Errorf("a PUT gives %+v, created %v", put, created)
	}
	if e := f.event(1); e.Action != store.ActionUpdate || !slices.Equal(e.Fields, []string{"annotations.owner", "gateway"}) {
		t.Errorf("the event is %+v", e)
	}
	n.CreateTime = time.Date(2020, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	put, _, err = f.PutNetwork(t.Context(), n)
	f.must(err)
	if !put.CreateTime.Equal(n.CreateTime) {
		t.Errorf("the client's time became %v", put.CreateTime)
	}
	f.must(f.DeleteNetwork(t.Context(), "net"))
	if e := f.event(3); e.Kind != store.KindNetwork || e.ID != "net" || e.Action != store.ActionDelete {
		t.Errorf("the event is %+v", e)
	}
	_, created, err = f.PutNetwork(t.Context(), n)
	f.must(err)
	if !created {
		t.Error("a PUT of what is not there creates")
	}
	f.network("another", nil)
	list, revision, err := f.Networks(t.Context())
	f.must(err)
	if len(list) != 2 || list[0].Config.Name != "another" || list[1].Config.Name != "net" || revision != 6 {
		t.Errorf("%d networks at %d", len(list), revision)
	}
}

func TestFaultsOfANetwork(t *testing.T) {
	f := open(t)
	long := strings.Repeat("x", store.MaxValue+1)
	_, err := f.CreateNetwork(t.Context(), store.Network{
		Config:      bridge("no name", func(n *executor.ContainerNetwork) { n.Notes = "\x00" }),
		Annotations: map[string]string{"a": "\x00"},
		CreateTime:  time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	f.faults(err, "name", "notes", "annotations.a", "createTime")
	_, err = f.CreateNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = long })})
	f.faults(err, "notes", "")
	_, err = f.CreateNetwork(t.Context(), store.Network{Config: bridge("net", nil), Annotations: map[string]string{"a": long}})
	f.faults(err, "annotations.a")
}

// TestFollowing: what an endpoint holds of the network that it follows, and what stays its own.
func TestFollowing(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	assigned := executor.AssignedNetwork{Gateway: netip.MustParsePrefix("172.16.0.9/16")}
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net", Network: executor.ContainerNetwork{
		Common: executor.Common{Name: "ignored", Notes: "\x00"}, Type: "ignored", TrustLevel: executor.TrustOpen,
		Aliases: []string{"own:alias"}, Assigned: assigned,
	}}
	e := f.create(cfg)
	f.same(e, f.get("web"))
	want := bridge("net", func(n *executor.ContainerNetwork) {
		n.Aliases, n.Default, n.Assigned = []string{"own:alias"}, false, assigned
	})
	if got := &e.Config.Networks["eth1"].Network; !reflect.DeepEqual(got, want) {
		t.Errorf("the endpoint holds\n%+v\nwant\n%+v", got, want)
	}

	// A PUT that sends back what was read, with its own fields changed, changes those.
	e = f.put("web", func(c *executor.ExecutorConfig) {
		n := &c.Networks["eth1"].Network
		n.Default, n.Aliases, n.Gateway = true, nil, netip.MustParsePrefix("9.9.9.9/8")
	})
	want.Default, want.Aliases = true, nil
	if got := &e.Config.Networks["eth1"].Network; !reflect.DeepEqual(got, want) {
		t.Errorf("the endpoint holds\n%+v\nwant\n%+v", got, want)
	}
	if got := f.event(2).Fields; !slices.Equal(got, []string{"networks.eth1.network.aliases", "networks.eth1.network.default"}) {
		t.Errorf("fields %q", got)
	}
}

// TestANetworkChangesAllOnItInOneCommit: every follower has other keys and another revision, nobody else has.
func TestANetworkChangesAllOnItInOneCommit(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.network("other", nil)
	for i, ref := range []string{"net", "net", "other"} {
		f.create(&executor.ExecutorConfig{
			Common:   executor.Common{ID: fmt.Sprint("web", i)},
			Networks: map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: ref}, "eth1": {NetworkRef: ref}},
		})
	}
	digests := func() (list []string) {
		for i := range 3 {
			keys, err := f.KeySet(f.get(fmt.Sprint("web", i)))
			f.must(err)
			list = append(list, keys.Digest())
		}
		return list
	}
	before, old := f.revision(), digests()
	_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Nameservers = nil })})
	f.must(err)
	if e := f.event(before); e.Kind != store.KindNetwork || !slices.Equal(e.Fields, []string{"nameservers"}) {
		t.Errorf("the event is %+v", e)
	}
	now := digests()
	if now[0] == old[0] || now[1] == old[1] || now[2] != old[2] {
		t.Errorf("key sets were %q and are %q", old, now)
	}
	f.at(f.get("web0"), before+1, before+1)
	f.at(f.get("web1"), before+1, before+1)
	f.at(f.get("web2"), before, before)
	ids, err := f.ExecutorsOn(t.Context(), "net")
	if err != nil || !slices.Equal(ids, []string{"web0", "web1"}) {
		t.Errorf("on the network are %q (%v)", ids, err)
	}
}

func TestDeletingANetworkInUse(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.network("net2", nil)
	for _, id := range []string{"b", "a"} {
		f.create(&executor.ExecutorConfig{
			Common:   executor.Common{ID: id},
			Networks: map[string]*executor.NetworkEndpoint{"eth1": {NetworkRef: "net"}, "eth0": {NetworkRef: "net"}, "x": {NetworkRef: "net2"}},
		})
	}
	err := f.DeleteNetwork(t.Context(), "net")
	f.mustFail(err, store.ErrInUse)
	var inUse *store.InUseError
	if !errors.As(err, &inUse) || inUse.Network != "net" || !slices.Equal(inUse.By, []string{"a/eth0", "a/eth1", "b/eth0", "b/eth1"}) {
		t.Errorf("the error is %v", err)
	}
	f.must(f.DeleteExecutor(t.Context(), "b"))
	f.put("a", func(c *executor.ExecutorConfig) {
		delete(c.Networks, "eth0")
		c.Networks["eth1"].NetworkRef = "net2"
	})
	f.must(f.DeleteNetwork(t.Context(), "net"))
}

func TestJoiningAndDeletingAtOnce(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	join := func(id string) error {
		_, err := f.CreateExecutor(t.Context(), &executor.ExecutorConfig{
			Common: executor.Common{ID: id}, Networks: map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "net"}},
		}, nil)
		return err
	}
	f.race = func() { f.must(join("a")) }
	f.mustFail(f.DeleteNetwork(t.Context(), "net"), store.ErrInUse)
	f.must(f.DeleteExecutor(t.Context(), "a"))
	f.race = func() { f.must(f.DeleteNetwork(t.Context(), "net")) }
	f.faults(join("a"), "networks.eth0.networkRef")
}

// TestAChangeOfTheNetworkMeetsAChangeOfAFollower: neither is lost, and the write answers what is there.
func TestAChangeOfTheNetworkMeetsAChangeOfAFollower(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	cfg.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"}
	f.create(cfg)
	f.race = func() {
		_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = "moved" })})
		f.must(err)
	}
	cfg.Hostname = "other"
	e, _, err := f.PutExecutor(t.Context(), cfg)
	f.must(err)
	f.same(e, f.get("web"))
	f.at(e, 4, 4)
	if e.Config.Networks["eth1"].Network.Notes != "moved" {
		t.Error("the answer shows the network as it was")
	}
}

// TestLeavingANetwork: the endpoint holds afterwards what the document has, which is the last snapshot when it was read.
func TestLeavingANetwork(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	cfg := f.web("web")
	cfg.Networks = map[string]*executor.NetworkEndpoint{"a": {NetworkRef: "net"}, "b": {NetworkRef: "net"}}
	f.create(cfg)
	before := f.revision()
	e := f.put("web", func(c *executor.ExecutorConfig) {
		c.Networks["a"].NetworkRef = ""
		c.Networks["b"] = &executor.NetworkEndpoint{}
	})
	want := bridge("net", func(n *executor.ContainerNetwork) { n.Aliases, n.Default = nil, false })
	if got := &e.Config.Networks["a"].Network; !reflect.DeepEqual(got, want) {
		t.Errorf("the endpoint holds\n%+v\nwant the last snapshot\n%+v", got, want)
	}
	if got := f.event(before).Fields; !slices.Contains(got, "networks.a.networkRef") || slices.Contains(got, "networks.a.network.gateway") {
		t.Errorf("fields %q: the gateway is what it was", got)
	}
	// The type is the guest's once no network gives it, so a PUT leaves it.
	if got := e.Config.Networks["b"].Network; !reflect.DeepEqual(got, executor.ContainerNetwork{Type: "bridge"}) {
		t.Errorf("the endpoint holds %+v of a network that the document does not name", got)
	}
	f.must(f.DeleteNetwork(t.Context(), "net"))
}
