package main

import (
	"context"
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

// patience is how long a daemon waits for what a guest that runs has said. A test that takes as long has failed.
const patience = 2 * time.Minute

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
		e, err := d.api.WaitExecutor(d.Context(), id, func(e *models.Executor) bool { return ended(e.Execs[exec]) })
		if err != nil {
			d.Error(apiclient.Describe(err))
			code <- -1
			return
		}
		code <- e.Execs[exec].ExitStatus
	}()
	return code
}

// until waits until an executor is as wanted, by what its guest reports.
func (d *daemon) until(id string, is func(*models.Executor) bool) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), patience)
	defer cancel()
	_, err := d.api.WaitExecutor(ctx, id, is)
	d.ok(err)
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

// find takes what a person types for a container, as Docker does: a full id, else a name, else the beginning of only one id.
// It gives an id, or else Docker's status.
func (d *daemon) find(what string) (id string, status int) {
	d.Helper()
	answer, err := d.api.Executors.ListExecutorsContext(d.Context(), executors.NewListExecutorsParams().WithLookup(&what))
	d.ok(err)
	found := answer.Payload.Items
	for _, is := range []func(*models.Executor) bool{
		func(e *models.Executor) bool { return e.ID == what },
		func(e *models.Executor) bool { return e.Name == what },
		func(*models.Executor) bool { return len(found) == 1 },
	} {
		if i := slices.IndexFunc(found, is); i >= 0 {
			return found[i].ID, http.StatusOK
		}
	}
	if len(found) > 1 {
		return "", http.StatusBadRequest
	}
	return "", http.StatusNotFound
}
