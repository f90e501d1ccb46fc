package store_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// source parses one.
func (f *fixture) source(s string) executor.Source {
	f.Helper()
	source, err := executor.ParseSource(s)
	f.must(err)
	return source
}

func (f *fixture) url(s string) executor.URL {
	f.Helper()
	u, err := executor.ParseURL(s)
	f.must(err)
	return u
}

// asShown is an executor as it is shown to who may not see its secrets.
func (f *fixture) asShown(id string) *executor.ExecutorConfig {
	f.Helper()
	return redacted(f.get(id).Config)
}

func redacted(c *executor.ExecutorConfig) *executor.ExecutorConfig {
	c = c.Clone()
	c.Key = c.Key.Redact()
	for name, m := range c.Mounts {
		m.Source = m.Source.Redact()
		c.Mounts[name] = m
	}
	return c
}

// TestPlaceholders: what was shown can be written back, changed elsewhere, and loses no secret. The events tell of no secret either.
func TestPlaceholders(t *testing.T) {
	f := open(t)
	before := f.create(f.web("web")).Config
	f.still(func() { _, _, err := f.PutExecutor(f.Context(), f.asShown("web")); f.must(err) })
	cfg := f.asShown("web")
	cfg.Hostname = "other"
	m := cfg.Mounts["data"]
	m.Path = "/elsewhere"
	cfg.Mounts["data"] = m
	at := f.revision()
	after, _, err := f.PutExecutor(f.Context(), cfg)
	f.must(err)
	if !reflect.DeepEqual(after.Config.Key, before.Key) || !reflect.DeepEqual(after.Config.Mounts["data"].Source, before.Mounts["data"].Source) {
		t.Error("a secret was lost")
	}
	if got := f.event(at).Fields; !reflect.DeepEqual(got, []string{"hostname", "mounts.data.path"}) {
		t.Errorf("changed are %q", got)
	}
	if !reflect.DeepEqual(cfg, redacted(cfg)) {
		t.Error("the caller's document was changed")
	}
	moved := f.asShown("web")
	moved.Mounts["data"] = executor.MountSpec{Source: f.source("nfs://redacted@evil/export"), Path: "/data"}
	moved.Mounts["more"] = executor.MountSpec{Source: f.source("nfs://redacted@host/export"), Path: "/more"}
	f.still(func() {
		_, _, err := f.PutExecutor(f.Context(), moved)
		f.faults(err, "mounts.data.source", "mounts.more.source")
		_, err = f.UpdateExecutor(f.Context(), "web", func(c *executor.ExecutorConfig) error {
			c.Mounts["data"] = moved.Mounts["data"]
			return nil
		})
		f.faults(err, "mounts.data.source")
	})
	_, err = f.UpdateExecutor(f.Context(), "web", func(c *executor.ExecutorConfig) error { c.Key = nil; return nil })
	f.must(err)
	f.still(func() {
		_, err := f.UpdateExecutor(f.Context(), "web", func(c *executor.ExecutorConfig) error { c.Key = executor.Secret("x").Redact(); return nil })
		f.faults(err, "key")
	})
}

// TestPlaceholdersAtCreation mean nothing, whatever else has been there.
func TestPlaceholdersAtCreation(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	cfg := f.asShown("web")
	f.must(f.DeleteExecutor(f.Context(), "web"))
	b := &store.Binding{Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{
		AgentKey: executor.Secret("x").Redact(), Interaction: f.url("tcp://redacted@host:1"),
	}}
	f.still(func() {
		_, err := f.CreateExecutor(f.Context(), cfg, b)
		f.faults(err, "key", "mounts.data.source", "vm.interaction", "vm.agentKey")
		_, _, err = f.PutExecutor(f.Context(), cfg)
		f.faults(err, "key", "mounts.data.source")
	})
}

// TestPlaceholdersAndOthers: what a placeholder stands for is decided by what is stored when it is written, not when it was read.
func TestPlaceholdersAndOthers(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	cfg := f.asShown("web")
	cfg.Hostname = "other"
	set := func(source string) {
		f.put("web", func(c *executor.ExecutorConfig) {
			m := c.Mounts["data"]
			m.Source = f.source(source)
			c.Mounts["data"] = m
		})
	}
	f.race = func() { set("nfs://user:new-word@host/export") }
	e, _, err := f.PutExecutor(f.Context(), cfg)
	f.must(err)
	if text, _ := e.Config.Mounts["data"].Source.MarshalText(); string(text) != "nfs://user:new-word@host/export" {
		t.Errorf("the mount has %s", text)
	}
	cfg.Hostname = "third"
	f.race = func() { set("nfs://user:pass-word@elsewhere/export") }
	_, _, err = f.PutExecutor(f.Context(), cfg)
	f.faults(err, "mounts.data.source")
	if got := f.get("web").Config; got.Hostname != "other" || got.Mounts["data"].Source.Host != "elsewhere" {
		t.Errorf("there was a change: %s", show(f.get("web")))
	}
}

// TestPlaceholdersOfBindings stand for what is stored of the same VM.
func TestPlaceholdersOfBindings(t *testing.T) {
	f := open(t)
	f.plain("web")
	f.secrets = append(f.secrets, "agent-pass", "agent-key", "YWdlbnQta2V5")
	full := store.Binding{Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{AgentKey: executor.Secret("agent-key"), Interaction: f.url("tcp://u:agent-pass@host:1")}}
	f.bind("web", full)
	f.must(f.Pin(f.Context(), "web", f.get("web").Binding, lower))
	shown := full
	shown.VM.AgentKey, shown.VM.Interaction = full.VM.AgentKey.Redact(), full.VM.Interaction.Redact()
	byInstance := shown
	byInstance.Ref = upper
	f.still(func() { f.bind("web", shown) })
	changed := shown
	changed.VM.Version = "v2"
	for _, b := range []store.Binding{changed, byInstance} {
		e, _ := f.bind("web", b)
		if !reflect.DeepEqual(e.Binding.VM.AgentKey, full.VM.AgentKey) {
			t.Errorf("a secret was lost")
		}
		if text, _ := e.Binding.VM.Interaction.MarshalText(); string(text) != "tcp://u:agent-pass@host:1" {
			t.Errorf("the interaction is at %s", text)
		}
	}
	for fields, change := range map[string]func(*store.Binding){
		"interaction agentKey":  func(b *store.Binding) { b.Ref = "vm2" },
		"interaction  agentKey": func(b *store.Binding) { b.Driver = "qemu" },
		"agentKey":              func(b *store.Binding) { b.VM.Interaction = f.url("tcp://u:agent-pass@other:1") },
		"interaction":           func(b *store.Binding) { b.VM.Interaction = f.url("tcp://redacted@other:1"); b.VM.AgentKey = nil },
		"ref agentKey":          func(b *store.Binding) { b.Ref = ""; b.VM.Interaction = executor.URL{} },
	} {
		b := shown
		change(&b)
		f.still(func() {
			_, _, err := f.Bind(f.Context(), "web", b)
			f.faults(err, strings.Fields(fields)...)
		})
	}
}

// TestKeepSecrets: an executor that holds secrets stays where it is, by who may not move them.
func TestKeepSecrets(t *testing.T) {
	f := open(t)
	keep := store.KeepSecrets()
	bind := func(id, driver, ref string) error {
		_, _, err := f.Bind(f.Context(), id, store.Binding{Driver: driver, Ref: ref}, keep)
		return err
	}
	f.plain("bare")
	f.must(bind("bare", "vsphere", "vm1"))
	f.must(bind("bare", "vsphere", "vm2"))
	keyed := f.web("keyed")
	keyed.Mounts = nil
	mounted := f.web("mounted")
	mounted.Key = nil
	for _, cfg := range []*executor.ExecutorConfig{keyed, mounted} {
		f.create(cfg)
		f.still(func() { f.mustFail(bind(cfg.ID, "vsphere", cfg.ID), store.ErrSecrets) }) // unbound: bound to no VM
		f.bound(cfg.ID, cfg.ID, "4213abcd-0000-4000-8000-"+fmt.Sprintf("%012d", len(cfg.Mounts)))
		f.must(bind(cfg.ID, "vsphere", cfg.ID))
		f.must(bind(cfg.ID, "vsphere", f.get(cfg.ID).Binding.Instance))
		f.still(func() {
			f.mustFail(bind(cfg.ID, "vsphere", "other"), store.ErrSecrets)
			f.mustFail(bind(cfg.ID, "qemu", f.get(cfg.ID).Binding.Instance), store.ErrSecrets)
		})
		f.must(f.Unbind(f.Context(), cfg.ID, keep))
		f.still(func() { f.mustFail(bind(cfg.ID, "vsphere", cfg.ID), store.ErrSecrets) })
	}
	// Secrets that come while it is being bound are there.
	f.plain("late")
	f.race = func() { f.put("late", func(c *executor.ExecutorConfig) { c.Key = executor.Secret("private-key") }) }
	f.mustFail(bind("late", "vsphere", "vm9"), store.ErrSecrets)
	// Who creates an executor brings its secrets.
	_, err := f.CreateExecutor(f.Context(), f.web("made"), &store.Binding{Driver: "vsphere", Ref: "vm8"}, keep)
	f.must(err)
}

// TestExecutorsDoNotPrint: what a store gives keeps its secrets to itself.
func TestExecutorsDoNotPrint(t *testing.T) {
	f := open(t)
	f.create(f.web("web"))
	e, _ := f.bind("web", store.Binding{Driver: "vsphere", Ref: "vm1", VM: executor.ContainerVM{AgentKey: executor.Secret("private-key"), Interaction: f.url("tcp://u:pass-word@host:1")}})
	keys, err := f.KeySet(e)
	f.must(err)
	key, found := keys.Get("guestinfo.vice./key")
	if !found {
		t.Fatal("the executor has no key")
	}
	var b strings.Builder
	log, lines := slog.New(slog.NewTextHandler(&b, nil)), slog.New(slog.NewJSONHandler(&b, nil))
	inside := struct {
		E *store.Executor
		C *executor.ExecutorConfig
		B *store.Binding
	}{e, e.Config, e.Binding}
	fmt.Fprintf(&b, "%v %s %q %x %t", inside, inside, inside, inside, inside)
	for _, v := range []any{e, *e, e.Binding, *e.Binding, e.Binding.VM, e.SecretKey, *e.Config, e.Config.Mounts, keys, key} {
		fmt.Fprintf(&b, "%v %+v %#v %s %q %x %X %d %t\n", v, v, v, v, v, v, v, v, v)
		if _, whole := v.(map[string]executor.MountSpec); !whole {
			log.Info("x", "v", v)
			lines.Info("x", "v", v)
		}
	}
	for _, secret := range []string{"private-key", "cHJpdmF0ZS1rZXk", "707269766174652d6b6579", "112, 0x", "0x70, 0x72", "112 114 105", "pass-word", fmt.Sprintf("%x", []byte(e.SecretKey)), fmt.Sprint([]byte(e.SecretKey)), base64.StdEncoding.EncodeToString(e.SecretKey)} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is to be seen: %s", secret, b.String())
		}
	}
	if n := strings.Count(b.String(), "web"); n < 10 {
		t.Errorf("it says too little: %s", b.String())
	}
}
