package store_test

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

const upper, lower = "4213ABCD-0000-4000-8000-00000000000A", "4213abcd-0000-4000-8000-00000000000a"

func (f *fixture) bind(id string, b store.Binding) (*store.Executor, bool) {
	f.Helper()
	e, created, err := f.Bind(f.Context(), id, b)
	f.must(err)
	f.same(e, f.get(id))
	return e, created
}

func (f *fixture) plain(ids ...string) {
	f.Helper()
	for _, id := range ids {
		f.create(&executor.ExecutorConfig{Common: executor.Common{ID: id, Name: id + "-name"}})
	}
}

// left checks which VMs still have to be cleaned: executor:driver/instance.
func (f *fixture) left(want ...string) {
	f.Helper()
	list, err := f.Unbindings(f.Context())
	f.must(err)
	var got []string
	for _, u := range list {
		got = append(got, u.Executor+":"+u.Driver+"/"+u.Instance)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		f.Errorf("to be cleaned are %q, want %q", got, want)
	}
}

func (f *fixture) claimed(err error, holder string) {
	f.Helper()
	f.mustFail(err, store.ErrClaimed)
	var claimed *store.ClaimedError
	if !errors.As(err, &claimed) || claimed.Holder != holder {
		f.Errorf("the error is %v, want one that names %s", err, holder)
	}
}

func TestBind(t *testing.T) {
	f := open(t)
	f.plain("web")
	agent, err := executor.ParseURL("tcp://agent-user:agent-pass@host:2377")
	f.must(err)
	f.secrets = append(f.secrets, "agent-pass", "agent-key", "YWdlbnQta2V5")
	b := store.Binding{Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{Version: "v1", AgentKey: []byte("agent-key"), Interaction: agent}}
	e, created := f.bind("web", b)
	b.Revision = 2
	if !created || !reflect.DeepEqual(*e.Binding, b) {
		t.Errorf("bound to %+v, created %v", e.Binding, created)
	}
	f.at(e, 1, 1) // what is bound to which VM is no configuration of the executor
	if e := f.event(1); e.Kind != store.KindVM || e.ID != "web" || e.Name != "web-name" || e.Action != store.ActionBind {
		t.Errorf("the event is %+v", e)
	}
	f.still(func() {
		if e, created := f.bind("web", b); created || !reflect.DeepEqual(*e.Binding, b) {
			t.Errorf("bound again as it was: %+v, created %v", e.Binding, created)
		}
	})
	b.VM.Version = "v2"
	if e, created := f.bind("web", b); created || e.Binding.Revision != 3 || e.Binding.VM.Version != "v2" {
		t.Errorf("bound otherwise: %+v, created %v", e.Binding, created)
	}
	f.must(f.Unbind(t.Context(), "web"))
	f.left() // no VM was found for it, so there is none to clean
	f.mustFail(f.Unbind(t.Context(), "web"), store.ErrUnbound)
	if f.get("web").Binding != nil {
		t.Error("still bound")
	}
}

func TestCreateBound(t *testing.T) {
	f := open(t)
	e, err := f.CreateExecutor(t.Context(), f.web("web"), &store.Binding{Driver: "vsphere", Ref: upper})
	f.must(err)
	f.same(e, f.get("web"))
	if e.Binding == nil || e.Binding.Ref != lower || e.Binding.Revision != 1 {
		t.Errorf("bound to %+v", e.Binding)
	}
	_, err = f.CreateExecutor(t.Context(), f.web("db"), &store.Binding{Driver: "vsphere", Ref: lower})
	f.claimed(err, "web")
	if _, err := f.Executor(t.Context(), "db"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it was made all the same: %v", err)
	}
}

func TestFaultsOfABinding(t *testing.T) {
	f := open(t)
	f.plain("web")
	for field, b := range map[string]store.Binding{
		"driver":        {Driver: "a/b", Ref: "vm1"},
		"ref":           {Driver: "vsphere", Ref: strings.Repeat("x", store.MaxRef+1)},
		"interaction":   {Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{Interaction: executor.URL{Path: "x"}}},
		"version":       {Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{Version: "\x00"}},
		"aliases.a":     {Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{Aliases: map[string]string{"a": "\x00"}}},
		"aliases.\x00b": {Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{Aliases: map[string]string{"\x00b": "a"}}},
	} {
		_, _, err := f.Bind(t.Context(), "web", b)
		f.faults(err, field)
	}
	for _, ref := range []string{"", "\xff", "a\x00b"} {
		_, _, err := f.Bind(t.Context(), "web", store.Binding{Ref: ref})
		f.faults(err, "driver", "ref")
	}
}

// TestOneVMOneExecutor: by whatever name, and with every driver's names apart.
func TestOneVMOneExecutor(t *testing.T) {
	f := open(t)
	f.plain("web", "db", "log")
	f.bound("web", "vm1", upper)
	for _, ref := range []string{"vm1", upper, lower} {
		_, _, err := f.Bind(t.Context(), "db", store.Binding{Driver: "vsphere", Ref: ref})
		f.claimed(err, "web")
	}
	f.bind("db", store.Binding{Driver: "qemu", Ref: "vm1"})
	e, _ := f.bind("log", store.Binding{Driver: "vsphere", Ref: "another-name"})
	f.claimed(f.Pin(t.Context(), "log", e.Binding, lower), "web")

	// Names are taken by who is quicker.
	f.race = func() { f.bind("db", store.Binding{Driver: "vsphere", Ref: "vm2"}) }
	_, _, err := f.Bind(t.Context(), "log", store.Binding{Driver: "vsphere", Ref: "vm2"})
	f.claimed(err, "db")

	// What was let go of can be taken.
	f.must(f.Unbind(t.Context(), "web"))
	f.bind("log", store.Binding{Driver: "vsphere", Ref: "vm1"})
}

func TestPin(t *testing.T) {
	f := open(t)
	f.plain("web")
	e, _ := f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm1"})
	at := f.revision()
	f.must(f.Pin(t.Context(), "web", e.Binding, "i1"))
	if e := f.event(at); e.Kind != store.KindVM || e.ID != "web" || e.Action != store.ActionResolve {
		t.Errorf("the event is %+v", e)
	}
	if b := f.get("web").Binding; b.Instance != "i1" || b.Revision != 2 {
		t.Errorf("pinned: %+v; only clients move the revision", b)
	}
	f.still(func() {
		f.must(f.Pin(t.Context(), "web", e.Binding, "i1"))
		f.mustFail(f.Pin(t.Context(), "web", e.Binding, "i2"), store.ErrConflict)
	})

	// What one reference was resolved to is never delivered to by another.
	next, _ := f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm2"})
	f.still(func() { f.mustFail(f.Pin(t.Context(), "web", e.Binding, "i1"), store.ErrConflict) })
	f.race = func() {
		next, _ = f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm3"})
	}
	f.mustFail(f.Pin(t.Context(), "web", next.Binding, "i2"), store.ErrConflict)
	f.must(f.Pin(t.Context(), "web", next.Binding, "i3"))
	f.must(f.Unbind(t.Context(), "web"))
	f.mustFail(f.Pin(t.Context(), "web", next.Binding, "i3"), store.ErrUnbound)
	f.left("web:vsphere/i1", "web:vsphere/i3")
}

func TestRebind(t *testing.T) {
	f := open(t)
	f.plain("web")
	f.bound("web", "vm1", lower)
	base := map[string]string{"createTime": "digest"}
	f.confirm("web", lower, base)

	// The same VM by its instance's name, and with other data: it stays found, and what it holds stays known.
	for _, b := range []store.Binding{{Driver: "vsphere", Ref: upper}, {Driver: "vsphere", Ref: lower, VM: executor.ContainerVM{Version: "v2"}}} {
		e, created := f.bind("web", b)
		if created || e.Binding.Instance != lower || !maps.Equal(e.Binding.Base, base) {
			t.Errorf("bound to %+v, created %v", e.Binding, created)
		}
	}
	f.left()

	// Another VM: the old one has to be cleaned, and nothing is known of the new one.
	e, created := f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm2"})
	if created || e.Binding.Instance != "" || e.Binding.Base != nil {
		t.Errorf("bound to %+v, created %v", e.Binding, created)
	}
	f.left("web:vsphere/" + lower)
	f.reopen()
	f.left("web:vsphere/" + lower)
	for instance, want := range map[string]bool{lower: true, upper: true, "another": false} {
		if u, err := f.Unbinding(t.Context(), "vsphere", instance); err != nil || (u != nil) != want || want && u.Executor != "web" {
			t.Errorf("to be cleaned of %s: %+v %v", instance, u, err)
		}
	}

	before := f.revision()
	f.must(f.SeenClean(t.Context(), "vsphere", upper))
	if e := f.event(before); e.Kind != store.KindVM || e.ID != "web" || e.Action != store.ActionClean {
		t.Errorf("the event is %+v", e)
	}
	f.still(func() { f.must(f.SeenClean(t.Context(), "vsphere", lower)) })
	f.left()
	f.reopen()
	if u, err := f.Unbinding(t.Context(), "vsphere", lower); err != nil || !u.Clean {
		t.Errorf("seen clean: %+v %v", u, err)
	}

	before = f.revision()
	f.must(f.Cleaned(t.Context(), "vsphere", upper))
	if e := f.event(before); e.Kind != store.KindVM || e.ID != "web" || e.Action != store.ActionClean {
		t.Errorf("the event is %+v", e)
	}
	f.left()
	f.still(func() {
		f.must(f.Cleaned(t.Context(), "vsphere", lower))
		f.must(f.SeenClean(t.Context(), "vsphere", lower))
	})
}

func TestUnbindLeavesADurableUnbinding(t *testing.T) {
	for name, leave := range map[string]func(f *fixture) error{
		"unbind": func(f *fixture) error { return f.Unbind(f.Context(), "web") },
		"delete": func(f *fixture) error { return f.DeleteExecutor(f.Context(), "web") },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.plain("web")
			f.bound("web", "vm1", "i1")
			before := f.revision()
			f.must(leave(f))
			want := map[string]string{"unbind": store.ActionUnbind, "delete": store.ActionDelete}[name]
			if e := f.event(before); e.ID != "web" || e.Name != "web-name" || e.Action != want {
				t.Errorf("the event is %+v", e)
			}
			f.reopen()
			f.left("web:vsphere/i1")
			if claims := f.keys("claim/"); len(claims) != 0 {
				t.Errorf("the VM is still claimed: %v", claims)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	f := open(t)
	f.plain("web")
	base := map[string]string{"createTime": "digest"}
	f.notConfirmed("web", "i1", base, store.ErrUnbound)
	f.bound("web", "vm1", "i1")
	f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm1", TakeOver: true})
	before := f.revision()
	f.confirm("web", "i1", base)
	if e := f.event(before); e.Kind != store.KindVM || e.ID != "web" || e.Action != store.ActionConfirm || e.Values != nil {
		t.Errorf("the event is %+v", e)
	}
	b := f.get("web").Binding
	if b.TakeOver || !maps.Equal(b.Base, base) || b.Revision != before {
		t.Errorf("confirmed: %+v", b)
	}
	f.still(func() {
		f.confirm("web", "i1", base)
		f.notConfirmed("web", "i2", base, store.ErrConflict)
		// The VM was taken over: to ask for it once more changes nothing.
		f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm1", TakeOver: true})
	})
	f.confirm("web", "i1", map[string]string{})
}

func TestReport(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	apply := func(c *executor.ExecutorConfig) ([]string, error) {
		c.Sessions["main"].ExitStatus, c.Sessions["main"].Started = 137, "true"
		return []string{"sessions.main.exitStatus", "sessions.main.started"}, nil
	}
	_, err := f.Report(t.Context(), "web", "i1", nil, store.Sighting{}, apply)
	f.mustFail(err, store.ErrUnbound)
	f.bound("web", "vm1", "i1")
	before := f.revision()
	e, err := f.Report(t.Context(), "web", "i1", map[string]string{"a": "b"}, store.Sighting{}, apply)
	f.must(err)
	f.same(e, f.get("web"))
	if e.Config.Sessions["main"].ExitStatus != 137 || e.Binding.Base["a"] != "b" || e.Binding.Revision != 2 {
		t.Errorf("reported: %s", show(e))
	}
	event := f.event(before)
	if event.Kind != store.KindExecutor || event.Action != store.ActionReport || event.Name != "web-name" ||
		strings.Join(event.Fields, " ") != "sessions.main.exitStatus sessions.main.started" ||
		!maps.Equal(event.Values, map[string]string{"sessions.main.exitStatus": "137", "sessions.main.started": "true"}) {
		t.Errorf("the event is %+v", event)
	}

	// A report of a VM that it is not bound to any more is dropped, however late that shows.
	f.race = func() { f.bound("web", "vm2", "i2") }
	_, err = f.Report(t.Context(), "web", "i1", nil, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
		c.Sessions["main"].ExitStatus = 1
		return nil, nil
	})
	f.mustFail(err, store.ErrConflict)
	f.race = func() { f.must(f.DeleteExecutor(t.Context(), "web")) }
	_, err = f.Report(t.Context(), "web", "i2", nil, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
		c.Sessions["main"].ExitStatus = 1
		return nil, nil
	})
	f.mustFail(err, store.ErrNotFound)
}

// TestAReportThatCannotBeStored: it is refused with faults of its fields. What is stored can always be read again.
func TestAReportThatCannotBeStored(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	f.bound("web", "vm1", "i1")
	for field, set := range map[string]func(*executor.ExecutorConfig){
		"sessions.main.started":          func(c *executor.ExecutorConfig) { c.Sessions["main"].Started = "\x00" },
		"sessions.main.detail.startTime": func(c *executor.ExecutorConfig) { c.Sessions["main"].Detail.StartTime = 1 << 40 },
		"sessions.main.detail.stopTime":  func(c *executor.ExecutorConfig) { c.Sessions["main"].Detail.StopTime = -1 << 40 },
		"execs.e1.detail.createTime":     func(c *executor.ExecutorConfig) { c.Execs["e1"].Detail.CreateTime = 1 << 62 },
		"createTime":                     func(c *executor.ExecutorConfig) { c.CreateTime = -1 },
		"networks.eth0.network.type": func(c *executor.ExecutorConfig) {
			c.Networks["eth0"].Network.Type = strings.Repeat("x", store.MaxValue+1)
		},
		"diagnostics.exitLogs.0.message": func(c *executor.ExecutorConfig) { c.Diagnostics.ExitLogs = []executor.ExitLog{{Message: "\xff"}} },
		"sessions.main.diagnostics.exitLogs": func(c *executor.ExecutorConfig) {
			c.Sessions["main"].Diagnostics.ExitLogs = []executor.ExitLog{{Message: strings.Repeat("x", store.MaxValue+1)}}
		},
	} {
		f.still(func() {
			_, err := f.Report(t.Context(), "web", "i1", nil, store.Sighting{}, func(c *executor.ExecutorConfig) ([]string, error) {
				set(c)
				return nil, nil
			})
			f.faults(err, field)
		})
	}
}
