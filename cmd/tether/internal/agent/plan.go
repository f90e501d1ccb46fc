//go:build linux

package agent

import (
	"cmp"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/executor"
)

// kind is what an action does.
type kind string

const (
	setHostname kind = "set the hostname"
	setRouting  kind = "set the routing filter"
	setResolver kind = "set the nameservers"
	leave       kind = "leave a network"
	join        kind = "join a network"
	detach      kind = "detach a mount"
	attach      kind = "attach a mount"
	stop        kind = "stop a session"   // it stays, and may start again
	remove      kind = "remove a session" // it is gone from the configuration
	start       kind = "start a session"
	later       kind = "wait for the next start"
	never       kind = "leave it to others"
)

// action is one step from a configuration to the next. Name is that of an entry, or the path of a field for later and never.
type action struct {
	kind    kind
	name    string
	session ref
}

// ref names a session or an exec.
type ref struct {
	exec bool
	id   string
}

func (r ref) path() []string {
	if r.exec {
		return []string{"execs", r.id}
	}
	return []string{"sessions", r.id}
}

func (r ref) String() string { return strings.Join(r.path(), ".") }

// plan says what leads from one configuration to another, in order: what ends comes before what begins, networks before the
// mounts that may need them, both before the processes that use them. It looks at configuration alone, and at reports
// only to tell whether an exec was started in this boot already.
func plan(from, to *executor.ExecutorConfig) []action {
	var all []action
	add := func(k kind, name string) { all = append(all, action{kind: k, name: name}) }
	ends, begins := planSessions(from, to)
	all = append(all, ends...)
	if from.Hostname != to.Hostname || from.Domainname != to.Domainname {
		add(setHostname, "")
	}
	if from.AsymmetricRouting != to.AsymmetricRouting {
		add(setRouting, "")
	}
	detached, attached := planMounts(from.Mounts, to.Mounts)
	all = append(all, detached...)
	all = append(all, planNetworks(from.Networks, to.Networks)...)
	if from.Domainname != to.Domainname || !maps.EqualFunc(from.Networks, to.Networks, sameServers) {
		add(setResolver, "")
	}
	all = append(all, attached...)
	if s := to.Diagnostics.SysLogConfig; s != nil && (from.Diagnostics.SysLogConfig == nil || *s != *from.Diagnostics.SysLogConfig) {
		add(never, "diagnostics.sysLogConfig")
	}
	return append(all, begins...)
}

func planMounts(from, to map[string]executor.MountSpec) (detached, attached []action) {
	byPath := func(mounts map[string]executor.MountSpec) []string {
		return slices.SortedFunc(maps.Keys(mounts), func(a, b string) int { return cmp.Compare(path.Clean(mounts[a].Path), path.Clean(mounts[b].Path)) })
	}
	for _, name := range slices.Backward(byPath(from)) {
		if m, still := to[name]; !still || !sameMount(m, from[name]) {
			detached = append(detached, action{kind: detach, name: name})
		}
	}
	for _, name := range byPath(to) {
		if m, was := from[name]; !was || !sameMount(m, to[name]) {
			attached = append(attached, action{kind: attach, name: name})
			if to[name].CopyMode == executor.CopyNew {
				attached = append(attached, action{kind: never, name: "mounts." + name + ".copyMode"})
			}
		}
	}
	return detached, attached
}

func sameMount(a, b executor.MountSpec) bool {
	a.CopyMode, b.CopyMode = 0, 0 // matters only when a mount is attached
	return reflect.DeepEqual(a, b)
}

func planNetworks(from, to map[string]*executor.NetworkEndpoint) []action {
	var all []action
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if to[name] == nil {
			all = append(all, action{kind: leave, name: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if from[name] == nil || !reflect.DeepEqual(linkOf(from[name]), linkOf(to[name])) {
			all = append(all, action{kind: join, name: name})
		}
	}
	return all
}

// linkOf is what of an endpoint concerns its network card.
func linkOf(e *executor.NetworkEndpoint) executor.NetworkEndpoint {
	return executor.NetworkEndpoint{
		Common: executor.Common{ID: e.ID, Name: e.Name}, Static: e.Static, IP: e.IP, Internal: e.Internal,
		Network: executor.ContainerNetwork{Destinations: e.Network.Destinations, Gateway: e.Network.Gateway, Default: e.Network.Default},
	}
}

func sameServers(a, b *executor.NetworkEndpoint) bool {
	return slices.Equal(a.Network.Nameservers, b.Network.Nameservers) && a.Network.Default == b.Network.Default
}

func planSessions(from, to *executor.ExecutorConfig) (ends, begins []action) {
	for _, r := range refs(from) {
		before, after := sessionOf(from, r), sessionOf(to, r)
		switch {
		case after == nil:
			ends = append(ends, action{kind: remove, session: r})
		case before.Active && !after.Active:
			ends = append(ends, action{kind: stop, session: r})
		}
	}
	for _, r := range refs(to) {
		before, after := sessionOf(from, r), sessionOf(to, r)
		wanted := after.Active && !after.RunBlock
		switch {
		case wanted && (before == nil || !before.Active || before.RunBlock):
			if r.exec && spent(after) {
				continue
			}
			begins = append(begins, action{kind: start, session: r})
		case wanted && !reflect.DeepEqual(specOf(before), specOf(after)):
			begins = append(begins, action{kind: later, name: r.String(), session: r})
		}
	}
	return ends, begins
}

// spent reports whether an exec was started already. It runs once: its keys are there in one boot alone.
func spent(s *executor.SessionConfig) bool { return s.Started != "" || s.Detail.StopTime != 0 }

// refs are all sessions and execs, in order.
func refs(c *executor.ExecutorConfig) []ref {
	var all []ref
	for _, id := range slices.Sorted(maps.Keys(c.Sessions)) {
		all = append(all, ref{false, id})
	}
	for _, id := range slices.Sorted(maps.Keys(c.Execs)) {
		all = append(all, ref{true, id})
	}
	return all
}

func sessionOf(c *executor.ExecutorConfig, r ref) *executor.SessionConfig {
	if r.exec {
		return c.Execs[r.id]
	}
	return c.Sessions[r.id]
}

func specOf(s *executor.SessionConfig) process.Spec {
	return process.Spec{
		Path: s.Cmd.Path, Args: s.Cmd.Args, Env: s.Cmd.Env, Dir: s.Cmd.Dir,
		User: s.User, Group: s.Group, Tty: s.Tty, OpenStdin: s.OpenStdin,
	}
}
