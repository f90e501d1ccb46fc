package main

import (
	"maps"
	"strings"
	"testing"
)

// TestMissingVM: an executor can be bound before its VM is there. That shows, and heals by itself.
func TestMissingVM(t *testing.T) { onEach(t, missingVM) }

func missingVM(t *testing.T, h hypervisor) {
	site := newSite(t, h, 1)
	s := site.start(t.TempDir())
	s.expect(201, "POST", "/v1/executors", `{"id": "early", "vm": {"driver": "vsphere", "ref": "late"}}`, nil)
	st := s.push("early")
	if st.State != "failed" || st.LastError != `VM "late" does not exist in vSphere` || st.Attempts == 0 || st.NextRetry == "" || st.PushedRevision != 0 {
		t.Errorf("while there is no such VM: %+v", st)
	}
	p := s.expectProblem(409, "", "POST", "/v1/executors/early/push?dryRun=true", "")
	if !strings.Contains(p.Detail, `"late" does not exist`) {
		t.Errorf("the dry run does not say why: %+v", p)
	}

	site.create("unnamed")
	others := site.held("unnamed")
	site.rename("unnamed", "late")
	site.await("late", func(held map[string]string) bool { return held["guestinfo.vice./common/id"] == "early" })
	site.expectHeld("late", others, s.keys("early", "all"))
	if st := s.push("early"); st.State != "synced" || st.LastError != "" || st.Attempts != 0 || st.NextRetry != "" || st.PushedRevision != st.DesiredRevision {
		t.Errorf("once the VM is there: %+v", st)
	}
}

// document has values of every kind that could suffer on their way.
const document = `{
	"id": "web", "name": "Zoë's \"web\" & <co>", "notes": "first line\nsecond\tline\r\n", "hostname": "web",
	"annotations": {"team": "shop", "empty": ""},
	"sessions": {"main": {"cmd": {"path": "/bin/httpd", "args": ["httpd", "", "a|b", " "], "env": ["A=1", "GREETING=你好 🎉", "TEXT=x\ny"]}}, "side": {"notes": "none"}},
	"execs": {"once": {"cmd": {"path": "/bin/true"}}},
	"mounts": {"data": {"source": "label:///data", "path": "/srv"}, "share": {"source": "nfs://user:s3cret@nas/export?vers=4", "path": "/mnt"}},
	"networks": {"eth0": {"networkRef": "front", "static": true, "ip": "10.1.0.2/16", "network": {"aliases": ["web:shop"]}}, "eth1": {"ip": "2001:db8::2/64"}},
	"vm": {"driver": "vsphere", "ref": "vm1"}
}`

// TestIndependentClient: what another vSphere client sees of the VM is what /keys reports, and what
// vSphere would show to the guest is what /keys says that the guest sees.
func TestIndependentClient(t *testing.T) { onEach(t, independentClient) }

func independentClient(t *testing.T, h hypervisor) {
	site := newSite(t, h, 1)
	s := site.start(t.TempDir())
	others := site.held("vm1")
	s.expect(201, "POST", "/v1/networks", `{"name": "front", "gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"]}`, nil)
	s.expect(201, "POST", "/v1/executors", document, nil)
	if st := s.push("web"); st.State != "synced" {
		t.Fatalf("%+v", st)
	}
	all, guest := s.keys("web", "all"), s.keys("web", "guest")
	site.expectHeld("vm1", others, all)
	for key, row := range all {
		_, sees := guest[key]
		if sees != strings.HasPrefix(key, "guestinfo.") || sees == (row.Scope == "hidden") {
			t.Errorf("%s, which is %s: that the guest sees it is %v", key, row.Scope, sees)
		}
	}
	for key, value := range site.held("vm1") {
		if strings.Contains(value, "s3cret") {
			t.Errorf("%s shows a secret", key)
		}
	}
}

// TestOtherTools: the keys of other tools survive every operation, however much they look like ours.
func TestOtherTools(t *testing.T) { onEach(t, otherTools) }

func otherTools(t *testing.T, h hypervisor) {
	site, dir := newSite(t, h, 2), t.TempDir()
	theirs := map[string]string{
		"guestinfo.metadata": "bG9jYWwtaG9zdG5hbWU6IHg=", "guestinfo.userdata": "#cloud-config", "guestinfo.vice": "1",
		"guestinfo.vicetools./common/id": "x", "guestinfo.vice./nothing/of/ours": "x", "common/notes.old": "x", "annotation": "x",
		"disk.enableUUID": "FALSE", "sched.cpu.latencySensitivity": "normal",
	}
	site.set("vm1", theirs)
	site.set("vm2", theirs)
	others := map[string]map[string]string{"vm1": site.held("vm1"), "vm2": site.held("vm2")}
	for key, value := range theirs {
		if others["vm1"][key] != value {
			t.Fatalf("%s was not set", key)
		}
	}
	s := site.start(dir)
	expect := func(operation, bound string) {
		t.Helper()
		if bound != "" {
			if st := s.push("web"); st.State != "synced" {
				t.Fatalf("%s: %+v", operation, st)
			}
		}
		for name := range others {
			if name == bound {
				site.expectHeld(name, others[name], s.keys("web", "all"))
			} else {
				site.awaitClean(name, others[name])
			}
		}
		if t.Failed() {
			t.Fatalf("that was after: %s", operation)
		}
	}

	s.expect(201, "POST", "/v1/networks", `{"name": "front", "gateway": "10.1.0.1/16"}`, nil)
	s.expect(201, "POST", "/v1/executors", document, nil)
	expect("create", "vm1")
	s.expect(200, "PUT", "/v1/executors/web", `{"hostname": "other", "networks": {"eth0": {"networkRef": "front"}}}`, nil)
	expect("replace", "vm1")
	s.expect(200, "PUT", "/v1/networks/front", `{"gateway": "10.9.0.1/16", "nameservers": ["10.9.0.53"]}`, nil)
	expect("change the network", "vm1")
	s.expect(200, "POST", "/v1/executors/web/push?dryRun=true", "", nil)
	expect("dry run", "vm1")
	site.set("vm1", map[string]string{"guestinfo.vice./hostname": "drift", "guestinfo.later": "x"})
	maps.Copy(others["vm1"], map[string]string{"guestinfo.later": "x"})
	expect("another tool changed the VM", "vm1")
	s.expect(200, "PUT", "/v1/executors/web/vm", `{"driver": "vsphere", "ref": "vm2"}`, nil)
	expect("bind to another VM", "vm2")
	s.terminate()
	s = site.start(dir)
	expect("restart", "vm2")
	s.expect(204, "DELETE", "/v1/executors/web/vm", "", nil)
	expect("unbind", "")
	site.set("vm1", map[string]string{"guestinfo.vice./common/id": "stranger"})
	s.expect(201, "PUT", "/v1/executors/web/vm?takeOver=true", `{"driver": "vsphere", "ref": "vm1"}`, nil)
	expect("take over", "vm1")
	s.expect(204, "DELETE", "/v1/executors/web", "", nil)
	expect("delete", "")
}
