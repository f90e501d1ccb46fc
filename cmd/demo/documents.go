package main

import "github.com/vmexecutor/config-server/models"

// The names that the demo uses.
const (
	executorID = "web-1"
	network    = "front"
	vmName     = "vm1"
)

// containerNetwork is one that many executors can join.
func containerNetwork() *models.Network {
	return &models.Network{
		Name: network, Type: "bridge", Gateway: "10.1.0.1/16",
		Nameservers: []string{"10.1.0.53"}, Pools: []string{"10.1.1.0/24"},
		Annotations: map[string]string{"team": "shop"},
	}
}

// executor has something of every scope in it.
func executor() *models.Executor {
	return &models.Executor{
		ID: executorID, Name: "web", Hostname: "web-1",
		Notes:       "ask the shop team before a restart",
		Annotations: map[string]string{"team": "shop", "cost-centre": "4711"},
		Sessions: map[string]*models.Session{
			"web-1": {
				Active: true, Restart: true, StopSignal: "SIGTERM",
				Cmd: &models.Cmd{Path: "/bin/httpd", Args: []string{"httpd", "-f"}, Env: []string{"PORT=80", "LANG=C.UTF-8"}},
			},
			"logs": {Active: true, Cmd: &models.Cmd{Path: "/bin/logger"}},
		},
		Execs: map[string]*models.Session{
			"backup": {Active: true, Cmd: &models.Cmd{Path: "/bin/backup", Args: []string{"backup", "/srv"}}},
		},
		Mounts: map[string]*models.Mount{
			"data":   {Source: "label:///data", Path: "/srv", CopyMode: models.MountCopyModeNew},
			"shared": {Source: "nfs://nas.example.com/exports/shop?vers=4", Path: "/shared", Mode: "ro"},
		},
		Networks: map[string]*models.Endpoint{
			"eth0": {
				NetworkRef: network, Static: true, IP: "10.1.0.2/16", Ports: []string{"8080:80/tcp"},
				Network: &models.EndpointNetwork{Default: true, Aliases: []string{"web:shop"}},
			},
			"eth1": {Network: &models.EndpointNetwork{Name: "backup", Type: "external"}},
		},
	}
}

// shown are the keys that are printed; the others are counted.
var shown = map[string]bool{
	"annotations|team":               true,
	"common/notes":                   true,
	"networks|eth0/network/aliases~": true,

	"guestinfo.vice./common/id":                             true,
	"guestinfo.vice./hostname":                              true,
	"guestinfo.vice./sessions":                              true,
	"guestinfo.vice./sessions|web-1/cmd/Args~":              true,
	"guestinfo.vice./sessions|web-1/cmd/Env~":               true,
	"guestinfo.vice./execs|backup/cmd/Args~@non-persistent": true,
	"guestinfo.vice./mounts|data/dest":                      true,
	"guestinfo.vice./mounts|shared/source/Host":             true,
	"guestinfo.vice./networks|eth0/network/Common/name":     true,

	"guestinfo.vice..sessions|web-1.started":     true,
	"guestinfo.vice..sessions|web-1.status":      true,
	"guestinfo.vice..networks|eth1.network.type": true,
}
