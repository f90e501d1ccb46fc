package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/models"
)

// Ids that a daemon would draw at random.
var (
	webID   = strings.Repeat("4f5e", 16)
	dbID    = strings.Repeat("4fd0", 16)
	frontID = strings.Repeat("9b21", 16)
)

// TestLifeOfAContainer walks through docs/docker.md: the test is the daemon and the guest, the server is the real one.
func TestLifeOfAContainer(t *testing.T) { onEach(t, lifeOfAContainer) }

func lifeOfAContainer(t *testing.T, h hypervisor) {
	site := newSite(t, h, 1)
	d := newDaemon(t, site.start(t.TempDir()).api)
	vm := site.machine("vm1")
	vm.powerOff() // as a daemon finds it that has just cloned it
	now := time.Now().Truncate(time.Second)
	told := d.events(dbID)

	d.networkCreate("front", "172.18.0.1/16", "172.18.0.0/24")
	d.create(&models.Executor{
		ID: webID, Name: "web", Hostname: "4f5e4f5e4f5e", CreateTime: &now,
		ImageID: "sha256:" + strings.Repeat("0c", 32), RepoName: "shop/web:1.2",
		Annotations: map[string]string{"docker.label.team": "shop", "docker.label.tier": "edge", "docker.vm": "vm1"},
		Sessions: map[string]*models.Session{webID: {
			Cmd:        &models.Cmd{Path: "/bin/httpd", Args: []string{"httpd", "-f"}, Env: []string{"PORT=80"}, Dir: "/srv"},
			StopSignal: "SIGTERM",
		}},
		Mounts: map[string]*models.Mount{"data": {Source: "label:///data", Path: "/srv/data", CopyMode: "new"}},
		VM:     &models.VMBinding{Driver: "vsphere", Ref: "vm1"},
	})
	d.create(&models.Executor{ID: dbID, Name: "db"})
	d.expectConflict("name-taken", dbID, d.tryCreate(&models.Executor{Name: "db"}))
	d.expectState(webID, "created")

	d.connect(webID, "front", "172.18.0.2/16")
	d.expect(http.StatusPreconditionFailed, d.tryConnect(webID, "front", "172.18.0.3/16")) // it is connected already
	d.expectConflict("address-taken", webID, d.tryConnect(dbID, "front", "172.18.0.2/16"))
	if p := d.expect(http.StatusUnprocessableEntity, d.tryConnect(webID, "back", "172.19.0.2/16")); p.Errors[0].Field != "networkRef" {
		t.Errorf("a network that is not there: %+v", p.Errors[0])
	}

	d.start(webID, vm)
	vm.reads("sessions|"+webID+"/cmd/Path", "/bin/httpd")
	vm.reads("networks|front/network/Common/name", "front")
	if keys := vm.keys(); keys["annotations|docker.label.team"] != "shop" {
		t.Error("the labels are not in the VM's hidden keys")
	}
	vm.starts("sessions|"+webID, now)
	vm.joins("front", "172.18.0.2/16")
	d.until(webID, func(e *models.Executor) bool { return running(e) && e.Networks["front"].Assigned != "" })
	d.expectState(webID, "running")
	if e := d.inspect(webID).Payload.Networks["front"]; e.Assigned != "172.18.0.2/16" || e.Network.Gateway != "172.18.0.1/16" {
		t.Errorf("the endpoint is %+v on %+v", e, e.Network)
	}

	exec := webID[:32] + strings.Repeat("e1", 16)
	d.execCreate(webID, exec, "ls", "/nowhere")
	d.execStart(exec)
	configured := d.inspect(webID).ETag
	vm.reads("execs|"+exec+"/active@non-persistent", "true")
	exited := d.wait(exec)
	vm.starts("execs|"+exec, now)
	vm.exits("execs|"+exec, 2, now)
	if code := <-exited; code != 2 {
		t.Errorf("the exec ended with %d, want 2", code)
	}

	// What the guest reported meanwhile is no reason to refuse a client that read the configuration before.
	d.rename(webID, "shop", configured)
	d.expectConflict("name-taken", dbID, d.tryRename(webID, "db", ""))
	d.expectState(webID, "running")
	vm.reads("common/name", "shop")
	d.expectListed()
	d.expectFound()

	d.stop(webID, vm, func() {
		vm.reads("sessions|"+webID+"/active", "false")
		vm.exits("sessions|"+webID, 143, now)
	})
	d.expectState(webID, "exited with 143")
	d.execRemove(exec)
	if e := d.inspect(webID).Payload; len(e.Execs) != 0 || e.Annotations["docker.stopped"] != "true" {
		t.Errorf("execs %v, annotations %v", e.Execs, e.Annotations)
	}

	now = now.Add(time.Second)
	d.start(webID, vm)
	if keys := vm.keys(); keys["guestinfo.vice..sessions|"+webID+".status"] != "0" {
		t.Error("the exit status of the former run is still in the VM")
	}
	d.expectState(webID, "created")
	vm.starts("sessions|"+webID, now)
	d.until(webID, running)
	d.kill(webID, vm, now)
	d.expectState(webID, "exited with 137")

	d.expectConflict("in-use", webID+"/front", d.tryNetworkRemove("front"))
	d.disconnect(webID, "front")
	for key := range vm.keys() {
		if strings.Contains(key, "networks|front") {
			t.Errorf("%s is left in the VM", key)
		}
	}
	d.ok(d.tryNetworkRemove("front"))

	d.remove(webID)
	vm.becomesClean()
	d.remove(dbID)
	want := []string{
		"network create front", "container create web", "container create db", "network connect or disconnect web front",
		"container start web", "exec_start web " + exec, "exec_die web " + exec + " exitCode=2", "container rename shop",
		"container create " + webID[:12], "container destroy " + webID[:12],
		"container die shop exitCode=143", "container start shop", "container die shop exitCode=137",
		"network connect or disconnect shop front", "network destroy front", "container destroy shop", "container destroy db",
	}
	if got := <-told; !slices.Equal(got, want) {
		t.Errorf("the events were\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if left := d.list(executors.NewListExecutorsParams()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// expectListed holds each filter against the two containers, web (by now named shop) and db.
func (d *daemon) expectListed() {
	d.Helper()
	all := executors.NewListExecutorsParams
	for _, tc := range []struct {
		filter string
		params *executors.ListExecutorsParams
		want   []string
	}{
		{"none", all(), []string{webID, dbID}},
		{"label key", all().WithAnnotation([]string{"docker.label.team"}), []string{webID}},
		{"label key and value", all().WithAnnotation([]string{"docker.label.team=shop"}), []string{webID}},
		{"two labels", all().WithAnnotation([]string{"docker.label.team=shop", "docker.label.tier=edge"}), []string{webID}},
		{"another value", all().WithAnnotation([]string{"docker.label.team=shop", "docker.label.tier=core"}), nil},
		{"name", all().WithName(new("shop")), []string{webID}},
		{"the former name", all().WithName(new("web")), nil},
		{"full id", all().WithIDPrefix(&dbID), []string{dbID}},
		{"id prefix", all().WithIDPrefix(new("4f5")), []string{webID}},
		{"ambiguous id prefix", all().WithIDPrefix(new("4f")), []string{webID, dbID}},
		{"network", all().WithNetwork(new("front")), []string{webID}},
		{"network and name", all().WithNetwork(new("front")).WithName(new("db")), nil},
		{"driver", all().WithDriver(new("vsphere")), []string{webID}},
	} {
		if got := d.list(tc.params); !slices.Equal(got, tc.want) {
			d.Errorf("filter %s: %v, want %v", tc.filter, got, tc.want)
		}
	}
}

// expectFound has a third container besides, whose name is the beginning of the first one's id.
func (d *daemon) expectFound() {
	d.Helper()
	trap := strings.Repeat("e0", 32)
	d.create(&models.Executor{ID: trap, Name: webID[:12]})
	for what, want := range map[string]string{
		webID: webID, webID[:11]: webID, webID[:12]: trap, webID[:13]: webID, "shop": webID,
		dbID: dbID, dbID[:3]: dbID, "db": dbID, trap: trap, trap[:1]: trap,
	} {
		if id, status := d.find(what); id != want {
			d.Errorf("%q is %q (%d), want %q", what, id, status, want)
		}
	}
	for what, want := range map[string]int{"4f": http.StatusBadRequest, "web": http.StatusNotFound, "SHOP": http.StatusNotFound} {
		if id, status := d.find(what); status != want {
			d.Errorf("%q is %q (%d), want status %d", what, id, status, want)
		}
	}
	d.remove(trap)
}
