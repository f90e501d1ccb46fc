package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/endpoints"
	"github.com/vmexecutor/config-server/client/execs"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/models"
)

// daemon makes the requests that docs/docker.md has a Docker-compatible daemon make. Its methods are named after Docker's
// calls.
type daemon struct {
	*testing.T
	api *apiclient.Client
}

func newDaemon(t *testing.T, address string) *daemon {
	t.Helper()
	api, err := apiclient.New(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return &daemon{t, api}
}

// Ids that a daemon would draw at random.
var (
	webID   = strings.Repeat("4f5e", 16)
	dbID    = strings.Repeat("4fd0", 16)
	frontID = strings.Repeat("9b21", 16)
)

// TestLifeOfAContainer walks through docs/docker.md: the test is the daemon and the guest, the server is the real one.
func TestLifeOfAContainer(t *testing.T) {
	vc := startVCenter(t, 1)
	d := newDaemon(t, vc.serve().api)
	vm := vc.machine("vm1")
	vm.powerOff() // as a daemon finds it that has just cloned it
	now := time.Now().Truncate(time.Second)

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
	d.until(webID, running)
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
	if left := d.list(executors.NewListExecutorsParams()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// ok ends the test when a request failed.
func (d *daemon) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(apiclient.Describe(err))
	}
}

// expect wants a request to be refused.
func (d *daemon) expect(status int, err error) *models.Problem {
	d.Helper()
	if !apiclient.IsStatus(err, status) {
		d.Fatalf("answered %q, want status %d", apiclient.Describe(err), status)
	}
	return apiclient.Problem(err)
}

// expectConflict wants one of a kind, that names what is in the way.
func (d *daemon) expectConflict(kind, holder string, err error) {
	d.Helper()
	if p := d.expect(http.StatusConflict, err); p.Type != "urn:config-server:problem:"+kind || !strings.Contains(p.Detail, holder) {
		d.Errorf("want %s that names %s, got %+v", kind, holder, p)
	}
}

func (d *daemon) networkCreate(name, gateway, pool string) {
	d.Helper()
	_, err := d.api.Networks.CreateNetworkContext(d.Context(), networks.NewCreateNetworkParams().WithBody(&models.Network{
		ID: frontID, Name: name, Type: "bridge", Gateway: gateway, Pools: []string{pool}, Annotations: map[string]string{"docker.label.tier": "edge"},
	}))
	d.ok(err)
}

func (d *daemon) tryNetworkRemove(name string) error {
	_, err := d.api.Networks.DeleteNetworkContext(d.Context(), networks.NewDeleteNetworkParams().WithName(name))
	return err
}

func (d *daemon) create(doc *models.Executor) {
	d.Helper()
	d.ok(d.tryCreate(doc))
}

func (d *daemon) tryCreate(doc *models.Executor) error {
	_, err := d.api.Executors.CreateExecutorContext(d.Context(), executors.NewCreateExecutorParams().WithUnique(new("name")).WithBody(doc))
	return err
}

func (d *daemon) connect(id, network, ip string) {
	d.Helper()
	d.ok(d.tryConnect(id, network, ip))
}

// tryConnect names the endpoint after its network, as there is one endpoint for each.
func (d *daemon) tryConnect(id, network, ip string) error {
	_, _, err := d.api.Endpoints.PutEndpointContext(d.Context(), endpoints.NewPutEndpointParams().WithID(id).WithName(network).WithIfNoneMatch(new("*")).
		WithBody(&models.Endpoint{NetworkRef: network, Static: true, IP: ip, Ports: []string{"8080:80/tcp"}}))
	return err
}

func (d *daemon) disconnect(id, network string) {
	d.Helper()
	_, err := d.api.Endpoints.DeleteEndpointContext(d.Context(), endpoints.NewDeleteEndpointParams().WithID(id).WithName(network))
	d.ok(err)
	d.push(id)
}

// push waits until the VM holds what was configured, and the store what the guest reported.
func (d *daemon) push(id string) *models.Status {
	d.Helper()
	answer, err := d.api.Push.PushContext(d.Context(), push.NewPushParams().WithID(id))
	d.ok(err)
	if s := answer.Payload; s.State != "synced" {
		d.Fatalf("%s is %s: %s", id, s.State, s.LastError)
	}
	return answer.Payload
}

func (d *daemon) inspect(id string) *executors.GetExecutorOK {
	d.Helper()
	answer, err := d.api.Executors.GetExecutorContext(d.Context(), executors.NewGetExecutorParams().WithID(id))
	d.ok(err)
	return answer
}

func (d *daemon) patch(id string, changes map[string]any) {
	d.Helper()
	patch, err := apiclient.MergePatch(changes)
	d.ok(err)
	_, err = d.api.Executors.PatchExecutorContext(d.Context(), executors.NewPatchExecutorParams().WithID(id).WithBody(patch))
	d.ok(err)
}

// mainSession is a merge patch of the session that is the container's process.
func mainSession(id string, changes map[string]any) map[string]any {
	return map[string]any{"sessions": map[string]any{id: changes}}
}

// start forgets the former run before the VM is switched on: what the guest reports then is of this one.
func (d *daemon) start(id string, vm *machine) {
	d.Helper()
	changes := mainSession(id, map[string]any{
		"active": true, "started": nil, "exitStatus": nil, "detail": map[string]any{"startTime": nil, "stopTime": nil},
	})
	changes["execs"], changes["annotations"] = nil, map[string]any{"docker.stopped": nil}
	d.patch(id, changes)
	d.push(id)
	vm.powerOn()
	if s := d.push(id); s.Power != "on" {
		d.Errorf("the power is %s, want on", s.Power)
	}
}

// stop asks the guest to end the process, and switches the VM off when it has.
func (d *daemon) stop(id string, vm *machine, guest func()) {
	d.Helper()
	changes := mainSession(id, map[string]any{"active": false})
	changes["annotations"] = map[string]any{"docker.stopped": "true"}
	d.patch(id, changes)
	d.push(id)
	guest()
	d.until(id, func(e *models.Executor) bool { return ended(e.Sessions[id]) })
	vm.powerOff()
	if s := d.push(id); s.Power != "off" {
		d.Errorf("the power is %s, want off", s.Power)
	}
}

// kill switches the VM off, and says what the guest could not.
func (d *daemon) kill(id string, vm *machine, now time.Time) {
	d.Helper()
	vm.powerOff()
	d.patch(id, mainSession(id, map[string]any{"exitStatus": 137, "detail": map[string]any{"stopTime": now.Format(time.RFC3339)}}))
	d.push(id)
}

func (d *daemon) execCreate(id, exec string, args ...string) {
	d.Helper()
	_, _, err := d.api.Execs.PutExecContext(d.Context(), execs.NewPutExecParams().WithID(id).WithExecID(exec).WithIfNoneMatch(new("*")).
		WithBody(&models.Session{Cmd: &models.Cmd{Path: args[0], Args: args}}))
	d.ok(err)
}

// execStart knows the exec alone, as Docker's call does: the exec's id begins with half of the container's.
func (d *daemon) execStart(exec string) {
	d.Helper()
	id := d.one(executors.NewListExecutorsParams().WithIDPrefix(new(exec[:32])))
	patch, err := apiclient.MergePatch(map[string]any{"active": true})
	d.ok(err)
	_, err = d.api.Execs.PatchExecContext(d.Context(), execs.NewPatchExecParams().WithID(id).WithExecID(exec).WithBody(patch))
	d.ok(err)
	d.push(id)
}

func (d *daemon) execRemove(exec string) {
	d.Helper()
	id := d.one(executors.NewListExecutorsParams().WithIDPrefix(new(exec[:32])))
	_, err := d.api.Execs.DeleteExecContext(d.Context(), execs.NewDeleteExecParams().WithID(id).WithExecID(exec))
	d.ok(err)
}

// wait gives an exec's exit code once it has ended, and -1 when it cannot be known.
func (d *daemon) wait(exec string) <-chan int64 {
	d.Helper()
	id := d.one(executors.NewListExecutorsParams().WithIDPrefix(new(exec[:32])))
	code := make(chan int64, 1)
	go func() {
		s, err := d.waitExec(d.Context(), id, exec)
		if err != nil {
			d.Error(apiclient.Describe(err))
			code <- -1
			return
		}
		code <- s.ExitStatus
	}()
	return code
}

// waitExec looks at the VM again and again, and at the exec only when it has changed.
func (d *daemon) waitExec(ctx context.Context, id, exec string) (*models.Session, error) {
	get := execs.NewGetExecParams().WithID(id).WithExecID(exec)
	for {
		if _, err := d.api.Push.PushContext(ctx, push.NewPushParams().WithID(id)); err != nil {
			return nil, err
		}
		answer, err := d.api.Execs.GetExecContext(ctx, get)
		var same *execs.GetExecNotModified
		switch {
		case errors.As(err, &same):
			continue
		case err != nil:
			return nil, err
		case ended(answer.Payload):
			return answer.Payload, nil
		}
		get = get.WithIfNoneMatch(&answer.ETag)
	}
}

// until has the VM looked at until its executor is as wanted.
func (d *daemon) until(id string, is func(*models.Executor) bool) {
	d.Helper()
	for {
		d.push(id)
		if is(d.inspect(id).Payload) {
			return
		}
	}
}

func running(e *models.Executor) bool { return e.Sessions[e.ID].Started == "true" }

// ended tells by the time: an exit status of 0 is also that of a process that has not run yet.
func ended(s *models.Session) bool { return s.Detail != nil && s.Detail.StopTime != nil }

// expectState wants Docker's word for how a container stands.
func (d *daemon) expectState(id, want string) {
	d.Helper()
	s := d.inspect(id).Payload.Sessions[id]
	state := "created"
	switch {
	case ended(s):
		state = fmt.Sprintf("exited with %d", s.ExitStatus)
	case s.Started == "true":
		state = "running"
	}
	if state != want {
		d.Errorf("the container is %s, want %s", state, want)
	}
}

func (d *daemon) rename(id, name, etag string) {
	d.Helper()
	d.ok(d.tryRename(id, name, etag))
	d.push(id)
}

func (d *daemon) tryRename(id, name, etag string) error {
	patch, err := apiclient.MergePatch(map[string]any{"name": name})
	if err != nil {
		return err
	}
	params := executors.NewPatchExecutorParams().WithID(id).WithUnique(new("name")).WithBody(patch)
	if etag != "" {
		params = params.WithIfMatch(&etag)
	}
	_, err = d.api.Executors.PatchExecutorContext(d.Context(), params)
	return err
}

func (d *daemon) remove(id string) {
	d.Helper()
	_, err := d.api.Executors.DeleteExecutorContext(d.Context(), executors.NewDeleteExecutorParams().WithID(id))
	d.ok(err)
	_, err = d.api.Executors.GetExecutorContext(d.Context(), executors.NewGetExecutorParams().WithID(id))
	d.expect(http.StatusNotFound, err)
}

// list gives the ids of the executors that the filters hold for.
func (d *daemon) list(params *executors.ListExecutorsParams) []string {
	d.Helper()
	answer, err := d.api.Executors.ListExecutorsContext(d.Context(), params)
	d.ok(err)
	var ids []string
	for _, e := range answer.Payload.Items {
		ids = append(ids, e.ID)
	}
	return ids
}

func (d *daemon) one(params *executors.ListExecutorsParams) string {
	d.Helper()
	ids := d.list(params)
	if len(ids) != 1 {
		d.Fatalf("found %v, want one", ids)
	}
	return ids[0]
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
