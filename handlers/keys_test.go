package handlers

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/vm"
)

// oneVM is a hypervisor with a single VM, which holds what a test puts into it, and of which nobody hears.
type oneVM struct {
	mu      sync.Mutex
	keys    map[string]string
	version int
}

var _ vm.Driver = (*oneVM)(nil)

func (d *oneVM) Resolve(_ context.Context, ref string) (string, error) {
	if ref != "vm1" {
		return "", fmt.Errorf("VM %q does not exist: %w", ref, vm.ErrNotFound)
	}
	return "instance-of-vm1", nil
}

func (d *oneVM) Observe(context.Context, string) (vm.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return vm.State{Keys: maps.Clone(d.keys), Power: vm.PowerOn, Version: fmt.Sprint(d.version), Epoch: "1"}, nil
}

func (d *oneVM) Apply(_ context.Context, _ string, c vm.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.Version != fmt.Sprint(d.version) {
		return vm.ErrConflict
	}
	for _, p := range c.Set {
		d.keys[p.Key] = p.Value
	}
	for _, key := range c.Delete {
		delete(d.keys, key)
	}
	d.version++
	return nil
}

func (d *oneVM) Watch(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (d *oneVM) Close(context.Context) error { return nil }

// change lets somebody else change the VM.
func (d *oneVM) change(set map[string]string, deleted ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.keys, set)
	for _, key := range deleted {
		delete(d.keys, key)
	}
	d.version++
}

// shownKey is a row of /keys as a client sees it: what is absent is nil.
type shownKey struct {
	Key, Value, Scope, Field, Why string
	Observed                      *string
	Extra                         bool
}

// view reads the executor's keys.
func (e *edgeTest) view(query string) map[string]shownKey {
	e.Helper()
	var set struct {
		Revision uint64
		Keys     []shownKey
	}
	a := e.expect(200, "GET", "/v1/executors/x/keys"+query, "", &set)
	if strings.Contains(string(a.body), "hunter2") {
		e.Errorf("%s shows a password: %s", query, a.body)
	}
	rows, last := map[string]shownKey{}, ""
	for _, k := range set.Keys {
		if k.Key <= last {
			e.Errorf("%s: %s comes after %s", query, k.Key, last)
		}
		last = k.Key
		rows[k.Key] = k
	}
	if set.Revision == 0 || len(rows) != len(set.Keys) {
		e.Errorf("%s: %s", query, a.body)
	}
	return rows
}

// expectDiff wants these rows of view=diff and no other, each written as: why desired -> observed.
func (e *edgeTest) expectDiff(query string, want map[string]string) {
	e.Helper()
	got := map[string]string{}
	for key, row := range e.view("?view=diff" + query) {
		desired, observed := row.Value, "nothing"
		if row.Observed != nil {
			observed = *row.Observed
		}
		if row.Extra {
			desired = "nothing" + row.Value
		}
		got[key] = row.Why + " " + desired + " -> " + observed
	}
	if !maps.Equal(got, want) {
		e.Errorf("differences%s: %q, want %q", query, got, want)
	}
}

// TestKeysOfTheVM: what a VM holds is shown beside what it should hold, with the reason; nobody else's keys are, and nothing is changed by looking.
func TestKeysOfTheVM(t *testing.T) {
	machine := &oneVM{keys: map[string]string{"guestinfo.metadata": "another tool's", "guestinfo.vice./nothing/of/ours": "x"}}
	e := openEdge(t, t.TempDir(), map[string]vm.Driver{"vsphere": machine})
	e.T = t
	e.expect(201, "POST", "/v1/executors", `{"id": "x", "name": "web", "notes": "mine", "hostname": "one", "annotations": {"a": "b"},
		"sessions": {"s": {"cmd": {"path": "/bin/httpd"}}}, "mounts": {"m": {"source": "nfs://u:hunter2@host/x", "path": "/m"}}}`, nil)
	for _, view := range []string{"observed", "diff"} {
		e.refusedDetail(409, "unbound", "GET", "/v1/executors/x/keys?view="+view, "")
		e.expect(404, "GET", "/v1/executors/y/keys?view="+view, "", nil)
	}
	e.expect(201, "PUT", "/v1/executors/x/vm", `{"driver": "vsphere", "ref": "vm2"}`, nil)
	for _, view := range []string{"observed", "diff"} {
		if a := e.refusedDetail(409, "vm-unavailable", "GET", "/v1/executors/x/keys?view="+view, ""); !strings.Contains(a.problem.Detail, `"vm2" does not exist`) {
			t.Errorf("it is not said why: %s", a.body)
		}
	}
	e.expect(200, "PUT", "/v1/executors/x/vm", `{"driver": "vsphere", "ref": "vm1"}`, nil)

	// Nothing was pushed yet.
	desired := e.view("")
	if got := e.view("?view=observed"); len(got) != 0 {
		t.Errorf("an untouched VM shows %v", got)
	}
	toCome := e.view("?view=diff")
	for key, row := range toCome {
		if row.Why != "pending" || row.Observed != nil || row.Extra || row.Value != desired[key].Value {
			t.Errorf("before the first push: %+v", row)
		}
	}
	if len(toCome) != len(desired) {
		t.Errorf("before the first push %d keys of %d are to come", len(toCome), len(desired))
	}

	// Pushed, and then left alone by everybody.
	t.Run("push", func(t *testing.T) {
		e.runReconciler(t)
		var status document
		if e.expect(200, "POST", "/v1/executors/x/push", "", &status); status["state"] != "synced" {
			t.Fatalf("the push ended with %v", status)
		}
	})
	if got := e.view("?view=observed"); !maps.Equal(got, e.view("?view=desired")) {
		t.Errorf("the VM shows %v", got)
	}
	for _, scope := range []string{"guest", "hidden", "read-only", "read-write"} {
		if got, want := e.view("?view=observed&scope="+scope), e.view("?scope="+scope); !maps.Equal(got, want) || len(want) == 0 {
			t.Errorf("of scope %s the VM shows %v", scope, got)
		}
	}
	e.expectDiff("", map[string]string{})

	// The guest and an operator write, while the server looks away.
	keys := map[string]string{} // by field
	for key, row := range desired {
		keys[row.Field] = key
	}
	machine.change(map[string]string{
		keys["hostname"]:            "other",
		keys["sessions.s.started"]:  "true",
		keys["annotations.a"] + "x": "extra",
	}, keys["notes"])
	drift := map[string]string{
		keys["hostname"]:            "drift one -> other",
		keys["sessions.s.started"]:  "report  -> true",
		keys["annotations.a"] + "x": "drift nothing -> extra",
		keys["notes"]:               "drift mine -> nothing",
	}
	e.expectDiff("", drift)
	hidden, guest := maps.Clone(drift), maps.Clone(drift)
	for key := range drift {
		if strings.HasPrefix(key, "guestinfo.") {
			delete(hidden, key)
		} else {
			delete(guest, key)
		}
	}
	e.expectDiff("&scope=hidden", hidden)
	e.expectDiff("&scope=guest", guest)
	if row := e.view("?view=observed")[keys["hostname"]]; row.Value != "other" || row.Field != "hostname" {
		t.Errorf("what the VM has of the host name is %+v", row)
	}

	// A client writes, too.
	machine.change(map[string]string{keys["hostname"]: "one", keys["sessions.s.started"]: "", keys["notes"]: "mine"}, keys["annotations.a"]+"x")
	e.expect(200, "PATCH", "/v1/executors/x", `{"hostname": "two"}`, nil, "Content-Type", "application/merge-patch+json")
	e.expectDiff("", map[string]string{keys["hostname"]: "pending two -> one"})
	if row := e.view("?view=diff")[keys["hostname"]]; row.Observed == nil || row.Extra {
		t.Errorf("the host name to come is %+v", row)
	}
}
