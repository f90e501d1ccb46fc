package apiclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/client/system"
	"github.com/vmexecutor/config-server/models"
)

// An executor is created and bound to a VM, and its hostname is changed. Both reach the VM without being asked for; push waits until
// they have.
func Example() {
	server, stop := serve()
	defer stop()
	state, err := rename(context.Background(), server.API)
	if err != nil {
		fmt.Println(apiclient.Describe(err))
	}
	fmt.Println(state)
	// Output: web-2 is synced
}

// rename is what the README shows.
func rename(ctx context.Context, address string) (string, error) {
	c, err := apiclient.New(address) // http://127.0.0.1:8080, or unix:///run/config-server.sock
	if err != nil {
		return "", err
	}
	defer c.Close()

	_, err = c.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(&models.Executor{
		ID: "web-1", Hostname: "web-1", VM: &models.VMBinding{Driver: "vsphere", Ref: "vm1"},
	}))
	if err != nil {
		return "", err
	}

	// Reads, changes and writes, and begins anew when somebody else was quicker.
	web, err := c.UpdateExecutor(ctx, "web-1", func(e *models.Executor) error {
		e.Hostname = "web-2"
		return nil
	})
	if err != nil {
		return "", err
	}

	answer, err := c.Push.PushContext(ctx, push.NewPushParams().WithID("web-1"))
	if err != nil {
		return "", err
	}
	return web.Hostname + " is " + answer.Payload.State, nil
}

func ExampleNew() {
	server, stop := serve()
	defer stop()

	c, err := apiclient.New(server.API) // such as http://127.0.0.1:8080
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answer, err := c.System.GetHealthContext(context.Background(), system.NewGetHealthParams())
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	fmt.Println(answer.Payload.Status)
	// Output: ok
}

func ExampleNew_unixSocket() {
	server, stop := serve()
	defer stop()

	c, err := apiclient.New("unix://" + server.Socket) // such as unix:///run/config-server.sock
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answer, err := c.System.GetHealthContext(context.Background(), system.NewGetHealthParams())
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	fmt.Println(answer.Payload.Status)
	// Output: ok
}

// The change may be made more than once, each time on what the executor is by then.
func ExampleClient_UpdateExecutor() {
	c, stop := connect(&models.Executor{ID: "web-1", Annotations: map[string]string{"team": "shop"}})
	defer stop()

	web, err := c.UpdateExecutor(context.Background(), "web-1", func(e *models.Executor) error {
		e.Annotations["tier"] = "edge"
		return nil
	})
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	fmt.Println(web.Annotations["team"], web.Annotations["tier"])
	// Output: shop edge
}

// A merge patch changes what it names: a label goes, all else stays.
func ExampleMergePatch() {
	c, stop := connect(&models.Executor{ID: "web-1", Hostname: "web-1", Annotations: map[string]string{"team": "shop", "tier": "edge"}})
	defer stop()

	patch, err := apiclient.MergePatch(map[string]any{
		"hostname":    "web-2",
		"annotations": map[string]any{"team": nil},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := c.Executors.PatchExecutorContext(context.Background(), executors.NewPatchExecutorParams().WithID("web-1").WithBody(patch))
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	fmt.Println(answer.Payload.Hostname, answer.Payload.Annotations)
	// Output: web-2 map[tier:edge]
}

// What happened since a list was made, and what happens from now on: each event once, over cut connections and restarts of the server.
func ExampleClient_Watch() {
	c, stop := connect(&models.Executor{ID: "web-1"})
	defer stop()
	ctx := context.Background()

	list, err := c.Executors.ListExecutorsContext(ctx, executors.NewListExecutorsParams())
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	if _, err := c.Executors.DeleteExecutorContext(ctx, executors.NewDeleteExecutorParams().WithID("web-1")); err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	for event, err := range c.Watch(ctx, apiclient.WatchOptions{Since: &list.Payload.Revision, Executors: []string{"web-1"}}) {
		if gone, ok := errors.AsType[*apiclient.CompactedError](err); ok {
			fmt.Println("list again, at revision", gone.Revision, "or later")
			return
		}
		if err != nil {
			fmt.Println(apiclient.Describe(err))
			return
		}
		fmt.Println(event.Kind, event.ID, event.Action)
		if event.Action == models.EventActionDelete {
			break
		}
	}
	// Output: executor web-1 delete
}

// A daemon waits for what a guest is to report, and asks nobody again and again.
func ExampleClient_WaitExecutor() {
	c, stop := connect(&models.Executor{ID: "web-1", Sessions: map[string]*models.Session{"web-1": {ExitStatus: 137, Started: "true"}}})
	defer stop()

	web, err := c.WaitExecutor(context.Background(), "web-1", func(e *models.Executor) bool { return e.Sessions["web-1"].Started != "" })
	if err != nil {
		fmt.Println(apiclient.Describe(err))
		return
	}
	fmt.Println(web.Sessions["web-1"].ExitStatus)
	// Output: 137
}

// Every failure that the server answers is a problem document, with all fields at fault.
func ExampleProblem() {
	c, stop := connect()
	defer stop()

	_, err := c.Executors.CreateExecutorContext(context.Background(), executors.NewCreateExecutorParams().WithBody(&models.Executor{
		ID:     "web-1",
		Mounts: map[string]*models.Mount{"data": {Source: "label:///data", Path: "srv"}},
	}))
	if apiclient.IsStatus(err, http.StatusUnprocessableEntity) {
		for _, e := range apiclient.Problem(err).Errors {
			fmt.Printf("%s: %s\n", e.Field, e.Message)
		}
	}
	// Output: mounts.data.path: must be absolute
}

// Describe gives any error in one line, those that did not come from the server too.
func ExampleDescribe() {
	c, stop := connect()
	defer stop()

	_, err := c.Executors.GetExecutorContext(context.Background(), executors.NewGetExecutorParams().WithID("web-1"))
	fmt.Println(apiclient.Describe(err))
	// Output: Not Found: Executor "web-1": there is no such resource.
}

// serve runs a server in this process, with a vSphere simulator and an empty store, until stop is called.
func serve() (addresses app.Addresses, stop func()) {
	dir, err := os.MkdirTemp("", "apiclient")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{
			Host: "127.0.0.1", SocketPath: filepath.Join(dir, "api.sock"), DataDir: filepath.Join(dir, "data"),
			SimulatorListen: "127.0.0.1:0", SimulatorVMs: 1,
			LogLevel: "error", Ready: func(a app.Addresses) { ready <- a },
		})
	}()
	select {
	case addresses = <-ready:
	case err := <-ended:
		panic(err)
	}
	return addresses, func() {
		cancel()
		if err := errors.Join(<-ended, os.RemoveAll(dir)); err != nil {
			panic(err)
		}
	}
}

// connect gives the client of such a server, on which there are some executors already.
func connect(docs ...*models.Executor) (*apiclient.Client, func()) {
	server, stop := serve()
	c, err := apiclient.New(server.API)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, doc := range docs {
		if _, err := c.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(doc)); err != nil {
			panic(apiclient.Describe(err))
		}
	}
	return c, func() { c.Close(); stop() }
}
