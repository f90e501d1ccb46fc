package handlers

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/vmexecutor/config-server/client/endpoints"
	"github.com/vmexecutor/config-server/client/execs"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/client/feed"
	"github.com/vmexecutor/config-server/client/mounts"
	"github.com/vmexecutor/config-server/client/networks"
	"github.com/vmexecutor/config-server/client/push"
	"github.com/vmexecutor/config-server/client/schema"
	"github.com/vmexecutor/config-server/client/sessions"
	"github.com/vmexecutor/config-server/client/system"
	"github.com/vmexecutor/config-server/client/vm"
	"github.com/vmexecutor/config-server/models"
)

func (c *clientTest) systemCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"getHealth", func() error {
			a, err := c.System.GetHealthContext(ctx, system.NewGetHealthParams())
			return answered(err, func() bool { return a.Payload.Status == "ok" })
		}},
		{"getReadiness", func() error {
			a, err := c.System.GetReadinessContext(ctx, system.NewGetReadinessParams())
			return answered(err, func() bool { return a.Payload.Status == "ok" })
		}},
		{"getVersion", func() error {
			a, err := c.System.GetVersionContext(ctx, system.NewGetVersionParams())
			return answered(err, func() bool { return a.Payload.Version == "test" })
		}},
		{"getBackup", func() error {
			var file bytes.Buffer
			_, err := c.System.GetBackupContext(ctx, system.NewGetBackupParams().WithTimeout(0), &file)
			return answered(err, func() bool { return file.Len() > 4*os.Getpagesize() })
		}},
		{"getSchemaKeys", func() error {
			a, err := c.Schema.GetSchemaKeysContext(ctx, schema.NewGetSchemaKeysParams())
			return answered(err, func() bool {
				return slices.ContainsFunc(a.Payload.Fields, func(f *models.SchemaField) bool {
					return f.Field == "id" && f.Scope == "read-only" && f.Key == "guestinfo.vice./common/id"
				})
			})
		}},
	}
}

func (c *clientTest) networkCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"createNetwork", func() error {
			a, err := c.Networks.CreateNetworkContext(ctx, networks.NewCreateNetworkParams().WithBody(&models.Network{Name: "front", Gateway: "10.1.0.1/16"}))
			return answered(err, func() bool {
				return a.Location == "/v1/networks/front" && a.ETag != "" && a.Payload.Gateway == "10.1.0.1/16"
			})
		}},
		{"putNetwork", func() error {
			_, created, err := c.Networks.PutNetworkContext(ctx, networks.NewPutNetworkParams().WithName("back").WithIfNoneMatch(new("*")).WithBody(&models.Network{}))
			return answered(err, func() bool { return created.Location == "/v1/networks/back" && created.ETag != "" })
		}},
		{"putNetwork", func() error {
			a, _, err := c.Networks.PutNetworkContext(ctx, networks.NewPutNetworkParams().WithName("back").WithBody(&models.Network{Notes: "ours"}))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Notes == "ours" })
		}},
		{"patchNetwork", func() error {
			a, err := c.Networks.PatchNetworkContext(ctx, networks.NewPatchNetworkParams().WithName("front").WithBody(c.patch(map[string]any{"annotations": map[string]any{"team": "shop"}})))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Annotations["team"] == "shop" })
		}},
		{"getNetwork", func() error {
			a, err := c.Networks.GetNetworkContext(ctx, networks.NewGetNetworkParams().WithName("front"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Gateway == "10.1.0.1/16" })
		}},
		{"listNetworks", func() error {
			a, err := c.Networks.ListNetworksContext(ctx, networks.NewListNetworksParams().WithAnnotation([]string{"team=shop"}).WithLimit(new(int32(5))))
			return answered(err, func() bool {
				return len(a.Payload.Items) == 1 && a.Payload.Items[0].Name == "front" && a.Payload.Revision > 0
			})
		}},
		{"deleteNetwork", func() error {
			_, err := c.Networks.DeleteNetworkContext(ctx, networks.NewDeleteNetworkParams().WithName("back").WithIfMatch(new("*")))
			return err
		}},
	}
}

func (c *clientTest) executorCalls() []clientCall {
	ctx := c.Context()
	created := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	var seen *executors.GetExecutorOK
	return []clientCall{
		{"createExecutor", func() error {
			a, err := c.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithUnique(new("name")).WithBody(&models.Executor{
				ID: "web-1", Name: "web", Hostname: "web-1", CreateTime: &created, Key: []byte("secret"), Annotations: map[string]string{"team": "shop"},
			}))
			return answered(err, func() bool {
				return a.Location == "/v1/executors/web-1" && a.ETag != "" && a.Payload.CreateTime.Equal(created) && string(a.Payload.Key) == "secret"
			})
		}},
		{"putExecutor", func() error {
			_, created, err := c.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID("db-1").WithBody(&models.Executor{Name: "db"}))
			return answered(err, func() bool { return created.Location == "/v1/executors/db-1" && created.Payload.ID == "db-1" })
		}},
		{"getExecutor", func() (err error) {
			seen, err = c.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID("web-1"))
			return answered(err, func() bool { return seen.ETag != "" && seen.Payload.Hostname == "web-1" })
		}},
		{"putExecutor", func() error {
			seen.Payload.Hostname = "web"
			a, _, err := c.Executors.PutExecutorContext(ctx, executors.NewPutExecutorParams().WithID("web-1").WithIfMatch(&seen.ETag).WithBody(seen.Payload))
			return answered(err, func() bool { return a.Payload.Hostname == "web" && a.ETag != seen.ETag })
		}},
		{"patchExecutor", func() error {
			a, err := c.Executors.PatchExecutorContext(ctx, executors.NewPatchExecutorParams().WithID("web-1").WithBody(c.patch(map[string]any{"hostname": nil, "domainname": "example.com"})))
			return answered(err, func() bool { return a.Payload.Hostname == "" && a.Payload.Domainname == "example.com" })
		}},
		{"getExecutor", func() error { // as it is known
			now, err := c.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID("web-1"))
			if err != nil {
				return err
			}
			c.succeeded()
			_, err = c.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID("web-1").WithIfNoneMatch(&now.ETag))
			if known, ok := err.(*executors.GetExecutorNotModified); !ok || known.ETag != now.ETag { //nolint:errorlint // the generated client wraps nothing
				return errAnswer
			}
			return nil
		}},
		{"listExecutors", func() error {
			a, err := c.Executors.ListExecutorsContext(ctx, executors.NewListExecutorsParams().WithAnnotation([]string{"team", "team=shop"}).WithState(new("unbound")).WithIDPrefix(new("web")))
			return answered(err, func() bool { return len(a.Payload.Items) == 1 && a.Payload.Items[0].ID == "web-1" })
		}},
	}
}

func (c *clientTest) sessionCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"putSession", func() error {
			_, a, err := c.Sessions.PutSessionContext(ctx, sessions.NewPutSessionParams().WithID("web-1").WithSessionID("main").WithBody(&models.Session{Cmd: &models.Cmd{Path: "/bin/httpd", Args: []string{"httpd"}}}))
			return answered(err, func() bool {
				return a.Location == "/v1/executors/web-1/sessions/main" && a.ETag != "" && a.Payload.ID == "main"
			})
		}},
		{"patchSession", func() error {
			a, err := c.Sessions.PatchSessionContext(ctx, sessions.NewPatchSessionParams().WithID("web-1").WithSessionID("main").WithBody(c.patch(map[string]any{"tty": true, "started": "true"})))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Tty && a.Payload.Started == "true" })
		}},
		{"getSession", func() error {
			a, err := c.Sessions.GetSessionContext(ctx, sessions.NewGetSessionParams().WithID("web-1").WithSessionID("main"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Cmd.Path == "/bin/httpd" })
		}},
		{"listSessions", func() error {
			a, err := c.Sessions.ListSessionsContext(ctx, sessions.NewListSessionsParams().WithID("web-1"))
			return answered(err, func() bool { return len(a.Payload.Items) == 1 && a.Payload.Items[0].ID == "main" })
		}},
		{"deleteSession", func() error {
			_, err := c.Sessions.DeleteSessionContext(ctx, sessions.NewDeleteSessionParams().WithID("web-1").WithSessionID("main"))
			return err
		}},
	}
}

func (c *clientTest) execCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"putExec", func() error {
			_, a, err := c.Execs.PutExecContext(ctx, execs.NewPutExecParams().WithID("web-1").WithExecID("e1").WithBody(&models.Session{Cmd: &models.Cmd{Path: "/bin/sh"}}))
			return answered(err, func() bool { return a.Location == "/v1/executors/web-1/execs/e1" && a.ETag != "" })
		}},
		{"patchExec", func() error {
			a, err := c.Execs.PatchExecContext(ctx, execs.NewPatchExecParams().WithID("web-1").WithExecID("e1").WithBody(c.patch(map[string]any{"active": true})))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Active })
		}},
		{"getExec", func() error {
			a, err := c.Execs.GetExecContext(ctx, execs.NewGetExecParams().WithID("web-1").WithExecID("e1"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Cmd.Path == "/bin/sh" })
		}},
		{"listExecs", func() error {
			a, err := c.Execs.ListExecsContext(ctx, execs.NewListExecsParams().WithID("web-1"))
			return answered(err, func() bool { return len(a.Payload.Items) == 1 && a.Payload.Items[0].ID == "e1" })
		}},
		{"deleteExec", func() error {
			_, err := c.Execs.DeleteExecContext(ctx, execs.NewDeleteExecParams().WithID("web-1").WithExecID("e1"))
			return err
		}},
	}
}

func (c *clientTest) mountCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"putMount", func() error {
			_, a, err := c.Mounts.PutMountContext(ctx, mounts.NewPutMountParams().WithID("web-1").WithName("data").WithBody(&models.Mount{Source: "label:///data", Path: "/srv"}))
			return answered(err, func() bool { return a.Location == "/v1/executors/web-1/mounts/data" && a.ETag != "" })
		}},
		{"patchMount", func() error {
			a, err := c.Mounts.PatchMountContext(ctx, mounts.NewPatchMountParams().WithID("web-1").WithName("data").WithBody(c.patch(map[string]any{"mode": "ro"})))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Mode == "ro" })
		}},
		{"getMount", func() error {
			a, err := c.Mounts.GetMountContext(ctx, mounts.NewGetMountParams().WithID("web-1").WithName("data"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Source == "label:///data" })
		}},
		{"listMounts", func() error {
			a, err := c.Mounts.ListMountsContext(ctx, mounts.NewListMountsParams().WithID("web-1"))
			return answered(err, func() bool { return len(a.Payload.Items) == 1 && a.Payload.Items[0].Name == "data" })
		}},
		{"deleteMount", func() error {
			_, err := c.Mounts.DeleteMountContext(ctx, mounts.NewDeleteMountParams().WithID("web-1").WithName("data"))
			return err
		}},
	}
}

func (c *clientTest) endpointCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"putEndpoint", func() error {
			_, a, err := c.Endpoints.PutEndpointContext(ctx, endpoints.NewPutEndpointParams().WithID("web-1").WithName("eth0").WithBody(&models.Endpoint{NetworkRef: "front", Static: true, IP: "10.1.0.2/16"}))
			return answered(err, func() bool {
				return a.Location == "/v1/executors/web-1/networks/eth0" && a.ETag != "" && a.Payload.Network.Gateway == "10.1.0.1/16"
			})
		}},
		{"patchEndpoint", func() error {
			a, err := c.Endpoints.PatchEndpointContext(ctx, endpoints.NewPatchEndpointParams().WithID("web-1").WithName("eth0").WithBody(c.patch(map[string]any{"ports": []string{"8080:80/tcp"}})))
			return answered(err, func() bool { return a.ETag != "" && len(a.Payload.Ports) == 1 })
		}},
		{"getEndpoint", func() error {
			a, err := c.Endpoints.GetEndpointContext(ctx, endpoints.NewGetEndpointParams().WithID("web-1").WithName("eth0"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.IP == "10.1.0.2/16" })
		}},
		{"listEndpoints", func() error {
			a, err := c.Endpoints.ListEndpointsContext(ctx, endpoints.NewListEndpointsParams().WithID("web-1"))
			return answered(err, func() bool { return len(a.Payload.Items) == 1 && a.Payload.Items[0].Name == "eth0" })
		}},
		{"deleteEndpoint", func() error {
			_, err := c.Endpoints.DeleteEndpointContext(ctx, endpoints.NewDeleteEndpointParams().WithID("web-1").WithName("eth0"))
			return err
		}},
	}
}

func (c *clientTest) vmCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"putVM", func() error {
			_, a, err := c.VM.PutVMContext(ctx, vm.NewPutVMParams().WithID("web-1").WithTakeOver(new(true)).WithBody(&models.VMBinding{Driver: "vsphere", Ref: "vm1"}))
			return answered(err, func() bool { return a.Location == "/v1/executors/web-1/vm" && a.ETag != "" })
		}},
		{"getVM", func() error {
			a, err := c.VM.GetVMContext(ctx, vm.NewGetVMParams().WithID("web-1"))
			return answered(err, func() bool { return a.ETag != "" && a.Payload.Ref == "vm1" })
		}},
		{"push", func() error { // there is no driver, and the status says so
			a, err := c.Push.PushContext(ctx, push.NewPushParams().WithID("web-1"))
			return answered(err, func() bool { return a.Payload.State == "failed" && a.Payload.LastError != "" })
		}},
		{"getStatus", func() error {
			a, err := c.Push.GetStatusContext(ctx, push.NewGetStatusParams().WithID("db-1"))
			return answered(err, func() bool { return a.Payload.State == "unbound" && a.Payload.DesiredRevision > 0 })
		}},
		{"getKeys", func() error {
			a, err := c.Push.GetKeysContext(ctx, push.NewGetKeysParams().WithID("web-1").WithScope(new("hidden")))
			return answered(err, func() bool {
				return slices.ContainsFunc(a.Payload.Keys, func(k *models.KeyRow) bool { return k.Field == "annotations.team" && k.Value == "shop" })
			})
		}},
		{"deleteVM", func() error {
			_, err := c.VM.DeleteVMContext(ctx, vm.NewDeleteVMParams().WithID("web-1"))
			return err
		}},
	}
}

func (c *clientTest) feedCalls() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"watch", func() error { // the stream ends as soon as it has begun
			var lines bytes.Buffer
			_, err := c.Feed.WatchContext(ctx, feed.NewWatchParams().WithSince(new(uint64(1))).WithKind([]string{"vm"}).WithExecutor([]string{"web-1"}).WithHeartbeat(new("1m")), &lines)
			var e models.Event
			return answered(err, func() bool {
				return json.Unmarshal(lines.Bytes(), &e) == nil && e.Action == "heartbeat" && e.Revision == 1
			})
		}},
		{"getExecutor", func() error { // nobody waits here
			_, err := c.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID("web-1").WithWait(new("1m")).WithSince(new(c.now())))
			if known, ok := err.(*executors.GetExecutorNotModified); !ok || known.ETag == "" { //nolint:errorlint // the generated client wraps nothing
				return errAnswer
			}
			return nil
		}},
	}
}

// now is the store's revision.
func (c *clientTest) now() uint64 {
	revision, err := c.store.Revision(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return revision
}

func (c *clientTest) removals() []clientCall {
	ctx := c.Context()
	return []clientCall{
		{"deleteExecutor", func() error {
			_, err := c.Executors.DeleteExecutorContext(ctx, executors.NewDeleteExecutorParams().WithID("web-1"))
			return err
		}},
		{"deleteNetwork", func() error {
			_, err := c.Networks.DeleteNetworkContext(ctx, networks.NewDeleteNetworkParams().WithName("front"))
			return err
		}},
	}
}
