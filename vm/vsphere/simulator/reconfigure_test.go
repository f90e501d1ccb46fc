package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

func TestStaleVersionIsConcurrentAccess(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	old := c.version(v)
	c.set(v, "guestinfo.elsewhere", "1")
	if err := c.reconfigure(v, old, "a/b", "1"); !fault.Is(err, &types.ConcurrentAccess{}) {
		t.Errorf("a stale changeVersion: %v, want ConcurrentAccess", err)
	}
	c.wantAbsent(v, "a/b")
	c.must(c.reconfigure(v, c.version(v), "a/b", "1"))
	c.want(v, "a/b", "1")

	// A guest's write moves the version too.
	old = c.version(v)
	c.must(c.sim.GuestWrite(c.instance(v), "guestinfo.vice..started", "true"))
	if err := c.reconfigure(v, old, "a/b", "2"); !fault.Is(err, &types.ConcurrentAccess{}) {
		t.Errorf("after a guest's write: %v, want ConcurrentAccess", err)
	}
}

func TestDeletingAnAbsentKeyAddsNothing(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	before := len(c.keys(v))
	c.set(v, "no/such", "", "guestinfo.none", "")
	if after := len(c.keys(v)); after != before {
		t.Errorf("%d keys became %d", before, after)
	}
}

func TestKeysIgnoreCase(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.set(v, "guestinfo.Vice./A", "1", "strasse/É", "x")
	c.set(v, "GUESTINFO.vice./a", "2", "strasse/é", "y")
	c.want(v, "guestinfo.Vice./A", "2")
	c.wantAbsent(v, "GUESTINFO.vice./a")
	c.want(v, "strasse/É", "x") // only ASCII letters have a case
	c.want(v, "strasse/é", "y")
	c.set(v, "guestinfo.vice./a", "")
	c.wantAbsent(v, "guestinfo.Vice./A")
}

func TestRefusedKeysAndValues(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	before := c.version(v)
	for _, key := range []string{"RUN.container", "run.port", "SET.guest.ipAddress", "ip0", "IP0", "with space", "tab\there", ""} {
		if err := c.reconfigure(v, "", "a/fine", "1", key, "v"); !fault.Is(err, &types.InvalidArgument{}) {
			t.Errorf("key %q: %v, want InvalidArgument", key, err)
		}
	}
	if err := c.reconfigure(v, "", "a/fine", "1", "a/large", strings.Repeat("x", 64<<10+1)); !fault.Is(err, &types.InvalidArgument{}) {
		t.Errorf("more than 64 KiB: %v, want InvalidArgument", err)
	}
	if c.version(v) != before {
		t.Error("a refused change changed the VM")
	}
	c.set(v, "a/large", strings.Repeat("x", 64<<10), "RUNNING", "1", "ip01", "1")
}

func TestGuestinfoIsLimitedInAll(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.set(v, "hidden/1", strings.Repeat("x", 60<<10)) // does not count
	var err error
	n := 0
	for ; err == nil && n < 40; n++ {
		err = c.reconfigure(v, "", fmt.Sprintf("guestinfo.k%d", n), strings.Repeat("x", 60<<10))
	}
	if n != 18 || !fault.Is(err, &types.InvalidArgument{}) { // 17 of them fit in 1 MiB
		t.Fatalf("write %d of 60 KiB: %v, want the 18th to be refused", n, err)
	}
	c.set(v, "guestinfo.k3", "") // what makes it smaller is possible
	c.set(v, "guestinfo.k3", "small")
}

func TestControlCharactersAreRefused(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	before := c.version(v)
	for _, char := range []string{"\x00", "\x1b", "&#x1b;", "\xff", "\ufffe"} {
		body := `<?xml version="1.0"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><ReconfigVM_Task xmlns="urn:vim25">` +
			`<_this type="VirtualMachine">` + v.Reference().Value + `</_this><spec><extraConfig xmlns:XMLSchema-instance="http://www.w3.org/2001/XMLSchema-instance" XMLSchema-instance:type="OptionValue">` +
			`<key>a/b</key><value XMLSchema-instance:type="xsd:string">a` + char + `b</value></extraConfig></spec></ReconfigVM_Task></Body></Envelope>`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.sim.URL().String(), strings.NewReader(body))
		c.must(err)
		for _, cookie := range c.Client.Client.Client.Jar.Cookies(c.sim.URL()) {
			req.AddCookie(cookie)
		}
		res, err := http.DefaultClient.Do(req)
		c.must(err)
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Errorf("%q: was accepted", char)
		}
	}
	if c.version(v) != before {
		t.Error("a refused change changed the VM")
	}
	if err := c.sim.GuestWrite(c.instance(v), "guestinfo.x", "a\x1bb"); err == nil {
		t.Error("a guest wrote a control character")
	}
}

func TestChangesAreInOrder(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	var tasks []*object.Task
	for i := range 50 {
		task, err := v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/n", Value: fmt.Sprint(i)}}})
		c.must(err)
		tasks = append(tasks, task)
	}
	for _, task := range tasks {
		c.must(task.Wait(t.Context()))
	}
	c.want(v, "a/n", "49")
}

// TestOtherChanges: what is not about keys is still govmomi's to do.
func TestOtherChanges(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	task, err := v.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{
		Name: "renamed", Annotation: "note", ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/b", Value: "1"}},
	})
	c.wait(task, err)
	v = c.vm("renamed")
	c.want(v, "a/b", "1")
	if m := c.properties(v, "name", "config.annotation"); m.Name != "renamed" || m.Config.Annotation != "note" {
		t.Errorf("name %q, annotation %q", m.Name, m.Config.Annotation)
	}
}

func TestServesOnlyWhatIsNeeded(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	_, err := object.NewFileManager(c.Client.Client).DeleteDatastoreFile(t.Context(), "[LocalDS_0] vm1", nil)
	if !fault.Is(err, &types.MethodNotFound{}) {
		t.Errorf("deleting a file: %v, want MethodNotFound", err)
	}
	for _, path := range []string{"/folder/vm1/vm1.vmx?dcPath=DC0&dsName=LocalDS_0", "/", "/about", "/guest", "/nfc/", "/debug/vars", "/sdk"} {
		res, err := http.Get("http://" + c.sim.URL().Host + path)
		c.must(err)
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %s", path, res.Status)
		}
	}
}

func TestNothingWithoutASession(t *testing.T) {
	c := start(t, simulator.Options{VMs: 1})
	v := c.vm("vm1")
	c.must(c.SessionManager.Logout(t.Context()))
	var out any
	err := property.DefaultCollector(c.Client.Client).RetrieveOne(t.Context(), v.Reference(), []string{"config.extraConfig"}, &out)
	if !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("read: %v, want NotAuthenticated", err)
	}
	if _, err := v.PowerOff(t.Context()); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("power off: %v, want NotAuthenticated", err)
	}
}

func TestWrongPassword(t *testing.T) {
	c := start(t, simulator.Options{})
	u := c.sim.URL()
	for _, user := range [][2]string{{simulator.Username, "wrong"}, {"root", simulator.Password}, {simulator.Username, ""}} {
		s := soap.NewClient(u, true)
		if err := loginAs(t, s, user[0], user[1]); !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("log in as %v: %v, want InvalidLogin", user, err)
		}
	}
}
