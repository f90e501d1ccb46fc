package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/client/executors"
	pushclient "github.com/vmexecutor/config-server/client/push"
	vmclient "github.com/vmexecutor/config-server/client/vm"
	"github.com/vmexecutor/config-server/models"
)

// TestSecretsStaySecret: an operator works on an executor, by the generated client, without seeing its secrets or losing one; neither shows
// the server them elsewhere.
func TestSecretsStaySecret(t *testing.T) {
	s := startSecured(t)
	const canary, source = "CANARY-which-must-not-be-seen-32", "nfs://CANARY-user:CANARY-word@filer/export"
	admin := s.connect(apiclient.WithToken(s.newToken("admin", "root")))
	operator := s.connect(apiclient.WithToken(s.newToken("operator", "ci")))
	viewer := s.connect(apiclient.WithToken(s.newToken("viewer", "eyes")))
	ctx := t.Context()
	create := &models.Executor{
		ID: "web-1", Key: []byte(canary), Mounts: map[string]*models.Mount{"data": {Source: source, Path: "/data"}},
		VM: &models.VMBinding{Driver: "vsphere", Ref: "vm1", AgentKey: []byte(canary), Interaction: "tcp://CANARY-agent:CANARY-word@host:2377"},
	}
	made, err := operator.Executors.CreateExecutorContext(ctx, executors.NewCreateExecutorParams().WithBody(create))
	if err != nil {
		t.Fatal(apiclient.Describe(err))
	}
	if pushed, err := admin.Push.PushContext(ctx, pushclient.NewPushParams().WithID("web-1")); err != nil || pushed.Payload.State != "synced" {
		t.Fatalf("the push ended with %v", err)
	}
	changed, err := operator.UpdateExecutor(ctx, "web-1", func(m *models.Executor) error {
		if m.Key.String() != "redacted" || m.Mounts["data"].Source != "nfs://redacted@filer/export" {
			t.Errorf("an operator reads %s and %s", m.Key, m.Mounts["data"].Source)
		}
		m.Hostname = "other"
		return nil
	})
	if err != nil {
		t.Fatal(apiclient.Describe(err))
	}
	mount, err := operator.UpdateMount(ctx, "web-1", "data", func(m *models.Mount) error { m.Mode = "ro"; return nil })
	if err != nil {
		t.Fatal(apiclient.Describe(err))
	}
	elsewhere := func(m *models.Mount) error { m.Source = "nfs://redacted@elsewhere/export"; return nil }
	if _, err := operator.UpdateMount(ctx, "web-1", "data", elsewhere); !apiclient.IsStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("credentials go elsewhere: %v", err)
	}
	move := vmclient.NewPutVMParams().WithID("web-1").WithBody(&models.VMBinding{Driver: "vsphere", Ref: "vm2"})
	if _, _, err := operator.VM.PutVMContext(ctx, move); !apiclient.IsStatus(err, http.StatusForbidden) || !strings.Contains(apiclient.Describe(err), "administrator") {
		t.Errorf("secrets go to another VM: %v", err)
	}
	shown := []any{made.Payload, changed, mount}

	for _, c := range []*apiclient.Client{viewer, operator} {
		for _, view := range []string{"desired", "observed", "diff"} {
			keys, err := c.Push.GetKeysContext(ctx, pushclient.NewGetKeysParams().WithID("web-1").WithView(&view))
			if err != nil {
				t.Fatal(apiclient.Describe(err))
			}
			shown = append(shown, keys.Payload)
		}
		binding, err := c.VM.GetVMContext(ctx, vmclient.NewGetVMParams().WithID("web-1"))
		if err != nil {
			t.Fatal(apiclient.Describe(err))
		}
		list, err := c.Executors.ListExecutorsContext(ctx, executors.NewListExecutorsParams())
		if err != nil {
			t.Fatal(apiclient.Describe(err))
		}
		shown = append(shown, binding.Payload, list.Payload)
	}
	for event, err := range viewer.Watch(ctx, apiclient.WatchOptions{Since: new(uint64(0))}) {
		if err != nil {
			t.Fatal(err)
		}
		if shown = append(shown, event); event.Revision >= mount.Revision {
			break
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}

	full, err := admin.Executors.GetExecutorContext(ctx, executors.NewGetExecutorParams().WithID("web-1"))
	if err != nil || string(full.Payload.Key) != canary || full.Payload.Mounts["data"].Source != source || full.Payload.Mounts["data"].Mode != "ro" || full.Payload.Hostname != "other" {
		t.Errorf("an administrator reads %+v, %v", full, err)
	}
	s.terminate()
	for _, secret := range []string{"CANARY", base64.StdEncoding.EncodeToString([]byte(canary))[:40]} {
		for where, text := range map[string]string{"an answer": string(text), "the log": s.output.String(), "the command line": string(command)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s: %s", where, secret, text)
			}
		}
	}
	if !strings.Contains(s.output.String(), `"path":"/v1/executors/web-1/vm"`) {
		t.Error("the log is not that of all requests")
	}
}
