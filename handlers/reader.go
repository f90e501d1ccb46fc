package handlers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/store"
)

// reader turns documents of the API into the domain. It notes what cannot be read, so that all faults of a
// document come at once: those of its meaning, which the domain finds, too.
type reader struct {
	faults     executor.Faults
	violations executor.Faults // of the specification, which the domain may have better words for
}

// validate notes what the specification has against what stands at a path.
func (r *reader) validate(at string, m validatable) {
	for _, f := range violations(m) {
		r.violations.Add(executor.Path(at, f.Field), f.Message)
	}
}

// failed reports whether anything is wrong so far.
func (r *reader) failed() bool { return len(r.faults)+len(r.violations) > 0 }

func (r *reader) err() error {
	r.add("", r.violations)
	slices.SortStableFunc(r.faults, func(a, b executor.Fault) int { return strings.Compare(a.Field, b.Field) })
	return r.faults.Err()
}

// executorErr gives the faults of an executor and, when b is not nil, of its binding. The store never sees a document that
// could not be read, so what it would find wrong is looked for here.
func (r *reader) executorErr(c *executor.ExecutorConfig, b *store.Binding) error {
	if !r.failed() {
		return nil
	}
	if b != nil {
		r.check("vm", b.Validate)
	}
	c = c.Clone()
	if c.ID == "" {
		c.ID = "made-by-the-store"
	}
	c.Canonicalize()
	r.check("", c.Validate)
	return r.err()
}

// networkErr is executorErr for a container network.
func (r *reader) networkErr(n store.Network) error {
	if !r.failed() {
		return nil
	}
	c := n.Config.Clone()
	c.Canonicalize()
	r.check("", c.Validate)
	annotated := &executor.ExecutorConfig{Common: executor.Common{ID: "any"}, Annotations: n.Annotations} // the rules are the same
	r.check("", annotated.Validate)
	return r.err()
}

// bindingErr is executorErr for a binding.
func (r *reader) bindingErr(b *store.Binding) error {
	if !r.failed() {
		return nil
	}
	r.check("", b.Validate)
	return r.err()
}

// check adds what a rule of the domain finds wrong with what was read at a path. A field that could not be read
// is empty there, which is no further fault.
func (r *reader) check(at string, validate func() error) {
	var found executor.Faults
	if errors.As(validate(), &found) {
		r.add(at, found)
	}
}

// add notes the faults of what is at a path, in fields that nothing is said of yet.
func (r *reader) add(at string, found executor.Faults) {
	known := make(map[string]bool, len(r.faults))
	for _, f := range r.faults {
		known[f.Field] = true
	}
	for _, f := range found {
		if field := executor.Path(at, f.Field); !known[field] {
			r.faults.Add(field, f.Message)
		}
	}
}

// agree gives a field the name that the resource has in the path, or in the map it stands in, and refuses another one.
func (r *reader) agree(field string, value *string, name string) {
	if *value == "" {
		*value = name
	}
	if *value != name {
		r.faults.Add(field, fmt.Sprintf("must be %q, which it is named outside the document, or absent", name))
	}
}

// read parses text with the domain's own parser.
func read[T any](r *reader, field, text string, parse func(string) (T, error)) (v T) {
	if text == "" {
		return v
	}
	v, err := parse(text)
	if err != nil {
		r.faults.Add(field, err.Error())
	}
	return v
}

// readAll parses a list.
func readAll[T any](r *reader, field string, texts []string, parse func(string) (T, error)) []T {
	list := make([]T, 0, len(texts))
	for i, text := range texts {
		v, err := parse(text)
		if err != nil {
			r.faults.Add(executor.Path(field, strconv.Itoa(i)), err.Error())
		}
		list = append(list, v) // a fault's too: it keeps the places of the others
	}
	return list
}

// readTime converts a time with the domain's own bounds.
func readTime[T any](r *reader, field string, at *time.Time, convert func(time.Time) (T, error)) (v T) {
	if at == nil {
		return v
	}
	v, err := convert(*at)
	if err != nil {
		r.faults.Add(field, err.Error())
	}
	return v
}

// most is how many entries of a map, or items of a list of objects, are read. What an executor may take in a VM is used up by fewer, however small they
// are (exit logs: some 6,200), and would be found too large after a hundred times the memory.
const most = 8192

// few refuses too many of them.
func (r *reader) few(at string, n int) bool {
	if n > most {
		r.faults.Add(at, fmt.Sprintf("has %d entries, which are more than an executor can have", n))
	}
	return n <= most
}

// executor reads an executor.
func (r *reader) executor(m *models.Executor) *executor.ExecutorConfig {
	c := &executor.ExecutorConfig{
		Common:            executor.Common{ID: m.ID, Name: m.Name, ExecutionEnvironment: m.ExecutionEnvironment, Notes: m.Notes},
		CreateTime:        readTime(r, "createTime", m.CreateTime, executor.NanoOf),
		Diagnostics:       r.diagnostics("diagnostics", m.Diagnostics),
		Sessions:          readEntries(r, sessionKind, m.Sessions),
		Execs:             readEntries(r, execKind, m.Execs),
		Mounts:            readEntries(r, mountKind, m.Mounts),
		Networks:          readEntries(r, endpointKind, m.Networks),
		Key:               executor.Secret(m.Key),
		LayerID:           m.LayerID,
		ImageID:           m.ImageID,
		Annotations:       m.Annotations,
		RepoName:          m.RepoName,
		AsymmetricRouting: m.AsymmetricRouting,
		Hostname:          m.Hostname,
		Domainname:        m.Domainname,
	}
	if v := m.Version; v != nil {
		c.Version = &executor.Version{
			Version: v.Version, GitCommit: v.GitCommit, BuildDate: v.BuildDate, BuildNumber: v.BuildNumber, State: v.State, PluginVersion: int(v.PluginVersion),
		}
	}
	return c
}

func readSession(r *reader, at string, m *models.Session) *executor.SessionConfig {
	s := &executor.SessionConfig{
		Common:      executor.Common{ID: m.ID, Name: m.Name, ExecutionEnvironment: m.ExecutionEnvironment, Notes: m.Notes},
		Attach:      m.Attach,
		OpenStdin:   m.OpenStdin,
		RunBlock:    m.RunBlock,
		Active:      m.Active,
		Tty:         m.Tty,
		ExitStatus:  int(m.ExitStatus),
		Started:     m.Started,
		Restart:     m.Restart,
		StopSignal:  m.StopSignal,
		Diagnostics: r.diagnostics(executor.Path(at, "diagnostics"), m.Diagnostics),
		User:        m.User,
		Group:       m.Group,
	}
	if c := m.Cmd; c != nil {
		s.Cmd = executor.Cmd{Path: c.Path, Args: c.Args, Env: c.Env, Dir: c.Dir}
	}
	if d := m.Detail; d != nil {
		at = executor.Path(at, "detail")
		s.Detail = executor.Detail{
			CreateTime: readTime(r, executor.Path(at, "createTime"), d.CreateTime, executor.SecondsOf),
			StartTime:  readTime(r, executor.Path(at, "startTime"), d.StartTime, executor.SecondsOf),
			StopTime:   readTime(r, executor.Path(at, "stopTime"), d.StopTime, executor.SecondsOf),
		}
	}
	return s
}

func (r *reader) diagnostics(at string, m *models.Diagnostics) (d executor.Diagnostics) {
	if m == nil {
		return d
	}
	d.DebugLevel, d.ResurrectionCount = int(m.DebugLevel), int(m.ResurrectionCount)
	logs := m.ExitLogs
	if !r.few(executor.Path(at, "exitLogs"), len(logs)) {
		logs = nil
	}
	for _, e := range logs {
		log := executor.ExitLog{ExitStatus: int(e.ExitStatus), Message: e.Message}
		if e.Time != nil {
			log.Time = *e.Time
		}
		d.ExitLogs = append(d.ExitLogs, log)
	}
	if s := m.SysLogConfig; s != nil {
		d.SysLogConfig = &executor.SysLogConfig{Network: s.Network, RAddr: s.RAddr}
	}
	return d
}

func readMount(r *reader, at string, m *models.Mount) executor.MountSpec {
	return executor.MountSpec{
		Source:   read(r, executor.Path(at, "source"), m.Source, executor.ParseSource),
		Path:     m.Path,
		Mode:     m.Mode,
		CopyMode: read(r, executor.Path(at, "copyMode"), m.CopyMode, parseText[executor.CopyMode]),
	}
}

func readEndpoint(r *reader, at string, m *models.Endpoint) *executor.NetworkEndpoint {
	e := &executor.NetworkEndpoint{
		Common:     executor.Common{ID: m.ID, Name: m.Name, ExecutionEnvironment: m.ExecutionEnvironment, Notes: m.Notes},
		Static:     m.Static,
		Assigned:   read(r, executor.Path(at, "assigned"), m.Assigned, executor.ParsePrefix),
		Ports:      m.Ports,
		Internal:   m.Internal,
		NetworkRef: m.NetworkRef,
	}
	if ip := read(r, executor.Path(at, "ip"), m.IP, executor.ParsePrefix); ip.IsValid() {
		e.IP = &ip
	}
	if n := m.Network; n != nil {
		e.Network = *r.containerNetwork(executor.Path(at, "network"), n)
	}
	return e
}

func (r *reader) containerNetwork(at string, m *models.EndpointNetwork) *executor.ContainerNetwork {
	n := &executor.ContainerNetwork{
		Common:       executor.Common{ID: m.ID, Name: m.Name, ExecutionEnvironment: m.ExecutionEnvironment, Notes: m.Notes},
		Type:         m.Type,
		Destinations: readAll(r, executor.Path(at, "destinations"), m.Destinations, executor.ParsePrefix),
		Gateway:      read(r, executor.Path(at, "gateway"), m.Gateway, executor.ParsePrefix),
		Default:      m.Default,
		Nameservers:  readAll(r, executor.Path(at, "nameservers"), m.Nameservers, executor.ParseAddr),
		Pools:        readAll(r, executor.Path(at, "pools"), m.Pools, executor.ParseRange),
		Aliases:      m.Aliases,
		TrustLevel:   read(r, executor.Path(at, "trustLevel"), m.TrustLevel, parseText[executor.TrustLevel]),
	}
	if a := m.Assigned; a != nil {
		at = executor.Path(at, "assigned")
		n.Assigned.Gateway = read(r, executor.Path(at, "gateway"), a.Gateway, executor.ParsePrefix)
		n.Assigned.Nameservers = readAll(r, executor.Path(at, "nameservers"), a.Nameservers, executor.ParseAddr)
	}
	return n
}

// network reads a container network.
func (r *reader) network(m *models.Network) store.Network {
	n := store.Network{
		Config: r.containerNetwork("", &models.EndpointNetwork{
			ID: m.ID, Name: m.Name, ExecutionEnvironment: m.ExecutionEnvironment, Notes: m.Notes, Type: m.Type, Destinations: m.Destinations,
			Gateway: m.Gateway, Default: m.Default, Nameservers: m.Nameservers, Pools: m.Pools, Aliases: m.Aliases, TrustLevel: m.TrustLevel, Assigned: m.Assigned,
		}),
		Annotations: m.Annotations,
	}
	if m.CreateTime != nil {
		n.CreateTime = *m.CreateTime
	}
	return n
}

// binding reads a VM binding.
func (r *reader) binding(at string, m *models.VMBinding) *store.Binding {
	return &store.Binding{Driver: m.Driver, Ref: m.Ref, VM: executor.ContainerVM{
		Version:     m.Version,
		Aliases:     m.Aliases,
		Interaction: read(r, executor.Path(at, "interaction"), m.Interaction, executor.ParseURL),
		AgentKey:    executor.Secret(m.AgentKey),
	}}
}

// parseText reads one of the domain's words.
func parseText[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](s string) (v T, err error) {
	err = P(&v).UnmarshalText([]byte(s))
	return v, err
}
