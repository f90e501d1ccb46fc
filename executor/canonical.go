package executor

import (
	"maps"
	"net/netip"
	"slices"
)

// Canonicalize brings an executor into the one form that equal configurations share: empty lists
// and maps are nil, fields that repeat a map key have their default, destinations are masked, times are UTC.
// It never makes a valid document invalid nor the other way round, and drops no information.
func (c *ExecutorConfig) Canonicalize() {
	c.Diagnostics.canonicalize()
	canonicalSessions(&c.Sessions)
	canonicalSessions(&c.Execs)
	emptyMap(&c.Mounts)
	emptyMap(&c.Networks)
	emptyMap(&c.Annotations)
	emptyList(&c.Key)
	for name, e := range c.Networks {
		if e == nil {
			e = new(NetworkEndpoint)
			c.Networks[name] = e
		}
		if e.Name == "" {
			e.Name = name
		}
		if e.IP != nil && !e.IP.IsValid() {
			e.IP = nil
		}
		emptyList(&e.Ports)
		e.Network.Canonicalize()
	}
}

// Canonicalize brings a container network into canonical form.
func (n *ContainerNetwork) Canonicalize() {
	for i, d := range n.Destinations {
		n.Destinations[i] = d.Masked()
	}
	emptyList(&n.Destinations)
	emptyList(&n.Nameservers)
	emptyList(&n.Pools)
	emptyList(&n.Aliases)
	emptyList(&n.Assigned.Nameservers)
}

// Canonicalize brings what is known of a VM into canonical form.
func (m *ContainerVM) Canonicalize() {
	emptyMap(&m.Aliases)
	emptyList(&m.AgentKey)
}

func canonicalSessions(sessions *map[string]*SessionConfig) {
	emptyMap(sessions)
	for id, s := range *sessions {
		if s == nil {
			s = new(SessionConfig)
			(*sessions)[id] = s
		}
		if s.ID == "" {
			s.ID = id
		}
		emptyList(&s.Cmd.Args)
		emptyList(&s.Cmd.Env)
		s.Diagnostics.canonicalize()
	}
}

func (d *Diagnostics) canonicalize() {
	emptyList(&d.ExitLogs)
	for i := range d.ExitLogs {
		d.ExitLogs[i].Time = d.ExitLogs[i].Time.UTC().Round(0)
	}
}

func emptyList[L ~[]T, T any](list *L) {
	if len(*list) == 0 {
		*list = nil
	}
}

func emptyMap[T any](m *map[string]T) {
	if len(*m) == 0 {
		*m = nil
	}
}

// Clone returns a copy that shares nothing with c that either could change.
func (c *ExecutorConfig) Clone() *ExecutorConfig {
	d := *c
	d.Diagnostics = c.Diagnostics.clone()
	d.Sessions = cloneMap(c.Sessions, (*SessionConfig).clone)
	d.Execs = cloneMap(c.Execs, (*SessionConfig).clone)
	d.Mounts = maps.Clone(c.Mounts) // a MountSpec's one pointer, the user of its source, is immutable
	d.Networks = cloneMap(c.Networks, (*NetworkEndpoint).clone)
	d.Key = slices.Clone(c.Key)
	d.Annotations = maps.Clone(c.Annotations)
	d.Version = cloneOf(c.Version)
	return &d
}

// Clone returns a copy that shares nothing with n that either could change.
func (n *ContainerNetwork) Clone() *ContainerNetwork {
	d := *n
	d.Destinations = slices.Clone(n.Destinations)
	d.Nameservers = slices.Clone(n.Nameservers)
	d.Pools = slices.Clone(n.Pools)
	d.Aliases = slices.Clone(n.Aliases)
	d.Assigned.Nameservers = slices.Clone(n.Assigned.Nameservers)
	return &d
}

// Clone returns a copy that shares nothing with m that either could change.
func (m *ContainerVM) Clone() *ContainerVM {
	d := *m
	d.Aliases = maps.Clone(m.Aliases)
	d.AgentKey = slices.Clone(m.AgentKey)
	return &d
}

func (s *SessionConfig) clone() *SessionConfig {
	d := *s
	d.Cmd.Args = slices.Clone(s.Cmd.Args)
	d.Cmd.Env = slices.Clone(s.Cmd.Env)
	d.Diagnostics = s.Diagnostics.clone()
	return &d
}

func (e *NetworkEndpoint) clone() *NetworkEndpoint {
	d := *e
	d.IP = cloneOf[netip.Prefix](e.IP)
	d.Network = *e.Network.Clone()
	d.Ports = slices.Clone(e.Ports)
	return &d
}

func (d Diagnostics) clone() Diagnostics {
	d.ExitLogs = slices.Clone(d.ExitLogs)
	d.SysLogConfig = cloneOf(d.SysLogConfig)
	return d
}

func cloneMap[T any](m map[string]*T, clone func(*T) *T) map[string]*T {
	if m == nil {
		return nil
	}
	d := make(map[string]*T, len(m))
	for k, v := range m {
		d[k] = clone(v)
	}
	return d
}

func cloneOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
