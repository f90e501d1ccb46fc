// Package handlers is the HTTP edge: it serves the API of swagger.yml on top of the store and the
// reconciler. It is the only place that converts between the generated models and the domain, and
// the only one that turns errors into statuses; a handler converts, calls and converts back.
//
// Package app serves what New returns. Nothing else imports this package.
package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-openapi/loads"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/restapi"
	"github.com/vmexecutor/config-server/restapi/operations"
	"github.com/vmexecutor/config-server/restapi/operations/endpoints"
	"github.com/vmexecutor/config-server/restapi/operations/execs"
	"github.com/vmexecutor/config-server/restapi/operations/executors"
	"github.com/vmexecutor/config-server/restapi/operations/feed"
	"github.com/vmexecutor/config-server/restapi/operations/mounts"
	"github.com/vmexecutor/config-server/restapi/operations/networks"
	pushops "github.com/vmexecutor/config-server/restapi/operations/push"
	"github.com/vmexecutor/config-server/restapi/operations/schema"
	"github.com/vmexecutor/config-server/restapi/operations/sessions"
	"github.com/vmexecutor/config-server/restapi/operations/system"
	vmops "github.com/vmexecutor/config-server/restapi/operations/vm"
	"github.com/vmexecutor/config-server/store"
)

// Options are what the API is served from. All are needed but the last two.
type Options struct {
	Store   *store.Store
	Push    *push.Reconciler
	Callers Callers
	Bounds  Bounds
	Metrics *metrics.Metrics // count the requests, and are served
	Audit   *audit.Trail     // has a line for each change, and for what is refused; nil for none
	Version Version
	Logger  *slog.Logger

	// Streams is to end before the server waits for its requests to: watches end with it, and whoever waits for a change is answered. nil never ends.
	Streams context.Context
	// Patience is how long the reader of a stream may take nothing of what is written to it (10s); then it is disconnected.
	Patience time.Duration
}

func (o *Options) defaults() {
	if o.Streams == nil {
		o.Streams = context.Background()
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
}

// New makes the handler of everything that the server answers.
func New(o Options) (http.Handler, error) {
	o.defaults()
	api, err := newAPI(o)
	if err != nil {
		return nil, err
	}
	return serve(api, o), nil
}

// newAPI wires every operation to its handler.
func newAPI(o Options) (*operations.ConfigAPI, error) {
	spec, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		return nil, fmt.Errorf("read the API's specification: %w", err)
	}
	api := operations.NewConfigAPI(spec)
	api.SetDefaultConsumes("") // a body without a declared type is refused, and JSON only taken where it is declared
	api.JSONConsumer, api.JSONProducer = documentJSON, plainJSON

	reports := reportPathsOf(o.Store.Codec().Fields())
	e := &executorHandlers{o.Store, o.Push, reports, o.Streams}
	api.ExecutorsListExecutorsHandler = executors.ListExecutorsHandlerFunc(e.list)
	api.ExecutorsCreateExecutorHandler = executors.CreateExecutorHandlerFunc(e.create)
	api.ExecutorsGetExecutorHandler = executors.GetExecutorHandlerFunc(e.get)
	api.ExecutorsPutExecutorHandler = executors.PutExecutorHandlerFunc(e.put)
	api.ExecutorsPatchExecutorHandler = executors.PatchExecutorHandlerFunc(e.patch)
	api.ExecutorsDeleteExecutorHandler = executors.DeleteExecutorHandlerFunc(e.delete)

	ss := &sessionHandlers{newEntries(sessionKind, o.Store, reports)}
	api.SessionsListSessionsHandler = sessions.ListSessionsHandlerFunc(ss.list)
	api.SessionsGetSessionHandler = sessions.GetSessionHandlerFunc(ss.get)
	api.SessionsPutSessionHandler = sessions.PutSessionHandlerFunc(ss.put)
	api.SessionsPatchSessionHandler = sessions.PatchSessionHandlerFunc(ss.patch)
	api.SessionsDeleteSessionHandler = sessions.DeleteSessionHandlerFunc(ss.delete)

	xs := &execHandlers{newEntries(execKind, o.Store, reports)}
	api.ExecsListExecsHandler = execs.ListExecsHandlerFunc(xs.list)
	api.ExecsGetExecHandler = execs.GetExecHandlerFunc(xs.get)
	api.ExecsPutExecHandler = execs.PutExecHandlerFunc(xs.put)
	api.ExecsPatchExecHandler = execs.PatchExecHandlerFunc(xs.patch)
	api.ExecsDeleteExecHandler = execs.DeleteExecHandlerFunc(xs.delete)

	ms := &mountHandlers{newEntries(mountKind, o.Store, reports)}
	api.MountsListMountsHandler = mounts.ListMountsHandlerFunc(ms.list)
	api.MountsGetMountHandler = mounts.GetMountHandlerFunc(ms.get)
	api.MountsPutMountHandler = mounts.PutMountHandlerFunc(ms.put)
	api.MountsPatchMountHandler = mounts.PatchMountHandlerFunc(ms.patch)
	api.MountsDeleteMountHandler = mounts.DeleteMountHandlerFunc(ms.delete)

	es := &endpointHandlers{newEntries(endpointKind, o.Store, reports)}
	api.EndpointsListEndpointsHandler = endpoints.ListEndpointsHandlerFunc(es.list)
	api.EndpointsGetEndpointHandler = endpoints.GetEndpointHandlerFunc(es.get)
	api.EndpointsPutEndpointHandler = endpoints.PutEndpointHandlerFunc(es.put)
	api.EndpointsPatchEndpointHandler = endpoints.PatchEndpointHandlerFunc(es.patch)
	api.EndpointsDeleteEndpointHandler = endpoints.DeleteEndpointHandlerFunc(es.delete)

	n := &networkHandlers{o.Store}
	api.NetworksListNetworksHandler = networks.ListNetworksHandlerFunc(n.list)
	api.NetworksCreateNetworkHandler = networks.CreateNetworkHandlerFunc(n.create)
	api.NetworksGetNetworkHandler = networks.GetNetworkHandlerFunc(n.get)
	api.NetworksPutNetworkHandler = networks.PutNetworkHandlerFunc(n.put)
	api.NetworksPatchNetworkHandler = networks.PatchNetworkHandlerFunc(n.patch)
	api.NetworksDeleteNetworkHandler = networks.DeleteNetworkHandlerFunc(n.delete)

	v := &vmHandlers{o.Store, o.Push}
	api.VMGetVMHandler = vmops.GetVMHandlerFunc(v.get)
	api.VMPutVMHandler = vmops.PutVMHandlerFunc(v.put)
	api.VMDeleteVMHandler = vmops.DeleteVMHandlerFunc(v.delete)

	api.ServeError = (&documents{problems{o.Logger}, e, v, ss, xs, ms, es}).serve

	p := &pushHandlers{o.Store, o.Push}
	api.PushGetKeysHandler = pushops.GetKeysHandlerFunc(p.keys)
	api.PushGetStatusHandler = pushops.GetStatusHandlerFunc(p.status)
	api.PushPushHandler = pushops.PushHandlerFunc(p.push)

	api.FeedWatchHandler = feed.WatchHandlerFunc((&feedHandlers{o.Store, o.Metrics, o.Streams, o.Patience, o.Logger}).watch)

	api.SchemaGetSchemaKeysHandler = schema.GetSchemaKeysHandlerFunc((&schemaHandlers{o.Store}).keys)

	s := &systemHandlers{o.Store, o.Version}
	api.SystemGetVersionHandler = system.GetVersionHandlerFunc(s.version)
	api.SystemGetBackupHandler = system.GetBackupHandlerFunc((&backupHandlers{o.Store, problems{o.Logger}}).get)
	api.SystemGetHealthHandler = system.GetHealthHandlerFunc(s.health)
	api.SystemGetReadinessHandler = system.GetReadinessHandlerFunc(s.ready)
	return api, api.Validate()
}
