package store_test

import (
	"errors"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// at is If-Match of one tag; with reports both of its parts count.
func at(entry, tag string, reports bool) store.WriteOption {
	t, ok := store.ParseTag(tag)
	if !ok {
		panic("no tag: " + tag)
	}
	return store.If(store.Precondition{Entry: entry, Match: &store.Match{Tags: []store.Tag{t}, Reports: reports}})
}

func absent(entry string) store.WriteOption {
	return store.If(store.Precondition{Entry: entry, Absent: true})
}

func present(entry string) store.WriteOption {
	return store.If(store.Precondition{Entry: entry, Match: &store.Match{Any: true}})
}

// stale checks an error of a precondition: current is the tag that it tells, empty when there is no such resource.
func (f *fixture) stale(err error, current string) {
	f.Helper()
	f.mustFail(err, store.ErrPrecondition)
	var failed *store.PreconditionError
	if !errors.As(err, &failed) || failed.Missing != (current == "") || current != "" && failed.Current.String() != current {
		f.Errorf("the error is %+v, want one that tells %q", failed, current)
	}
}

func TestTags(t *testing.T) {
	for text, want := range map[string]bool{
		"1-2": true, "0-0": true, "18446744073709551615-1": true,
		"": false, "1": false, "1-": false, "-1": false, "01-2": false, "1-2-3": false, "+1-2": false, " 1-2": false, "18446744073709551616-1": false,
	} {
		if tag, ok := store.ParseTag(text); ok != want || ok && tag.String() != text {
			t.Errorf("%q is read as %v, %v", text, tag, ok)
		}
	}
}

func TestPreconditionsOfAnExecutor(t *testing.T) {
	f := open(t)
	cfg := f.web("web")
	put := func(opts ...store.WriteOption) error {
		_, _, err := f.PutExecutor(t.Context(), cfg, opts...)
		return err
	}
	f.stale(put(at("", "1-1", false)), "")
	f.stale(put(present("")), "")
	f.must(put(absent("")))
	f.stale(put(absent("")), "1-1")
	f.bound("web", "vm1", "i1")
	f.report("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].Started = "true" })
	f.at(f.get("web"), 1, 4)

	cfg.Hostname = "\x00" // a stale writer is told so before its document is looked at
	f.stale(put(at("", "2-4", false)), "1-4")
	f.stale(put(at("", "1-1", true)), "1-4")
	f.stale(put(store.If(store.Precondition{Match: &store.Match{}})), "1-4")
	f.faults(put(at("", "1-1", false)), "hostname")
	cfg.Hostname = "other"
	f.must(put(at("", "1-1", false), present(""), present("sessions/main")))
	f.stale(put(present(""), present("sessions/other")), "")
	several := &store.Match{Tags: []store.Tag{{ConfigRevision: 77}, {ConfigRevision: 5, Revision: 5}}, Reports: true}
	f.still(func() {
		f.must(put(store.If(store.Precondition{Match: several})))
		f.stale(put(at("", "1-4", true)), "5-5") // also when nothing would change
	})

	set := func(name string) func(*executor.ExecutorConfig) error {
		return func(c *executor.ExecutorConfig) error { c.Name = name; return nil }
	}
	_, err := f.UpdateExecutor(t.Context(), "web", set("a"), at("", "1-4", false))
	f.stale(err, "5-5")
	f.race = func() { f.put("web", func(c *executor.ExecutorConfig) { c.Notes = "quicker" }) }
	_, err = f.UpdateExecutor(t.Context(), "web", set("a"), at("", "5-5", false))
	f.stale(err, "6-6")
	_, err = f.UpdateExecutor(t.Context(), "nobody", set("a"), at("", "1-4", false))
	f.mustFail(err, store.ErrNotFound)

	f.stale(f.DeleteExecutor(t.Context(), "web", at("", "5-5", false)), "6-6")
	f.mustFail(f.DeleteExecutor(t.Context(), "nobody", at("", "5-5", false)), store.ErrNotFound)
	f.must(f.DeleteExecutor(t.Context(), "web", at("", "6-1", false)))
}

// TestPreconditionsOfAnEntry: what happens to other entries does not matter.
func TestPreconditionsOfAnEntry(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
	set := func(name string, s *executor.SessionConfig, opts ...store.WriteOption) error {
		_, err := f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error {
			c.Sessions[name] = s
			return nil
		}, opts...)
		return err
	}
	f.must(set("main", &executor.SessionConfig{Tty: true}, at("sessions/main", "1-1", true)))
	f.stale(set("main", &executor.SessionConfig{}, at("sessions/main", "1-1", false)), "3-3")
	f.stale(set("new", &executor.SessionConfig{}, present("sessions/new")), "")
	f.stale(set("main", &executor.SessionConfig{}, absent("sessions/main")), "3-3")
	f.must(set("new", &executor.SessionConfig{}, absent("sessions/new")))
	f.tags("web", map[string]string{"sessions/main": "3-3", "sessions/new": "4-4", "execs/e1": "1-1"})

	f.network("net", nil)
	f.put("web", func(c *executor.ExecutorConfig) { c.Networks["eth1"] = &executor.NetworkEndpoint{NetworkRef: "net"} })
	_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = "moved" })})
	f.must(err)
	remove := func(c *executor.ExecutorConfig) error { delete(c.Networks, "eth1"); return nil }
	_, err = f.UpdateExecutor(t.Context(), "web", remove, at("networks/eth1", "6-6", false))
	f.stale(err, "7-7")
	_, err = f.UpdateExecutor(t.Context(), "web", remove, at("networks/eth1", "7-7", false))
	f.must(err)
}

func TestPreconditionsOfANetwork(t *testing.T) {
	f := open(t)
	n := store.Network{Config: bridge("net", nil)}
	put := func(notes string, opts ...store.WriteOption) error {
		n.Config.Notes = notes
		_, _, err := f.PutNetwork(t.Context(), n, opts...)
		return err
	}
	f.stale(put("a", present("")), "")
	f.must(put("a", absent("")))
	f.stale(put("b", absent("")), "1-1")
	f.stale(put("b", at("", "2-2", false)), "1-1")
	f.must(put("b", at("", "1-1", true)))
	note := func(n *store.Network) error { n.Annotations = map[string]string{"a": "b"}; return nil }
	_, err := f.UpdateNetwork(t.Context(), "net", note, at("", "1-1", false))
	f.stale(err, "2-2")
	updated, err := f.UpdateNetwork(t.Context(), "net", note, at("", "2-2", false))
	f.must(err)
	if updated.Tag() != (store.Tag{ConfigRevision: 3, Revision: 3}) || updated.Config.Notes != "b" || updated.Annotations["a"] != "b" {
		t.Errorf("updated: %+v", updated)
	}
	f.stale(f.DeleteNetwork(t.Context(), "net", at("", "2-2", false)), "3-3")
	f.must(f.DeleteNetwork(t.Context(), "net", at("", "3-3", false)))
}

func TestPreconditionsOfABinding(t *testing.T) {
	f := open(t)
	f.plain("web")
	bind := func(ref string, opts ...store.WriteOption) error {
		_, _, err := f.Bind(t.Context(), "web", store.Binding{Driver: "vsphere", Ref: ref}, opts...)
		return err
	}
	f.stale(bind("vm1", present("")), "")
	f.mustFail(f.Unbind(t.Context(), "web", present("")), store.ErrUnbound)
	f.must(bind("vm1", absent("")))
	f.stale(bind("vm2", absent("")), "2-2")
	e := f.get("web")
	f.must(f.Pin(t.Context(), "web", e.Binding, "i1"))
	f.stale(bind("vm2", at("", "1-1", false)), "2-2")
	f.must(bind("vm2", at("", "2-2", true)))
	f.stale(f.Unbind(t.Context(), "web", at("", "2-2", false)), "4-4")
	f.must(f.Unbind(t.Context(), "web", at("", "4-4", false)))
}
