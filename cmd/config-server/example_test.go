package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/go-openapi/runtime"

	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/client"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/models"
)

// deliver has an executor delivered to vm2 by the server at host, such as 127.0.0.1:8080.
func deliver(ctx context.Context, host string) (*models.Status, error) {
	problems := map[string]runtime.Consumer{"application/problem+json": runtime.JSONConsumer()}
	api := client.NewHTTPClientWithConfig(nil, client.DefaultTransportConfig().
		WithHost(host).WithSchemes([]string{"http"}).WithConsumers(problems))
	web := &models.Executor{ID: "web-2", Hostname: "web-2", VM: &models.VMBinding{Driver: "vsphere", Ref: "vm2"}}
	if _, err := api.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(web)); err != nil {
		return nil, err
	}
	pushed, err := api.Push.PushContext(ctx, push.NewPushParams().WithID(web.ID)) // waits for the outcome
	if err != nil {
		return nil, err
	}
	return pushed.Payload, nil
}

// The generated client, on a server in process. deliver is in the README, too.
func Example() {
	host, stop := serve()
	defer stop()

	status, err := deliver(context.Background(), host)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.State, status.PushedRevision == status.DesiredRevision, status.Power)

	_, err = deliver(context.Background(), host)
	if taken, ok := errors.AsType[*executors.CreateExecutorConflict](err); ok {
		fmt.Println(taken.Payload.Status, taken.Payload.Title)
	}

	// Output:
	// synced true on
	// 409 Conflict
}

// serve runs a server on free ports and a temporary directory.
func serve() (host string, stop func()) {
	dir, err := os.MkdirTemp("", "config-server-example")
	if err != nil {
		panic(err)
	}
	ready, done := make(chan app.Addresses, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	o := app.Options{
		Host: "127.0.0.1", DataDir: dir, SimulatorListen: "127.0.0.1:0", SimulatorVMs: 2, LogLevel: "error",
		Ready: func(a app.Addresses) { ready <- a },
	}
	go func() { done <- app.Run(ctx, o) }()
	select {
	case a := <-ready:
		u, err := url.Parse(a.API)
		if err != nil {
			panic(err)
		}
		host = u.Host
	case err := <-done:
		panic(err)
	}
	return host, func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Println(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Println(err)
		}
	}
}
