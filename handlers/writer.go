package handlers

import (
	"cmp"
	"context"
	"encoding"
	"maps"
	"time"

	"github.com/go-openapi/strfmt"

	"github.com/vmexecutor/config-server/auth"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/push"
	"github.com/vmexecutor/config-server/store"
)

// writer turns the domain into documents of the API. Lists and maps are never nil there. It alone decides what of a secret is shown: the
// zero value has the placeholder in place of each.
type writer struct{ clear bool }

// inFull writes documents that nobody is given: a patch is applied to what is stored.
var inFull = writer{clear: true}

// writerFor writes what concerns an executor, for the caller whose request ctx is of.
func writerFor(ctx context.Context, executor string) writer {
	return writer{clear: auth.PrincipalOf(ctx).SeesSecrets(executor)}
}

// secret gives a secret in base64, as documents have it.
func (w writer) secret(s executor.Secret) strfmt.Base64 {
	if !w.clear {
		s = s.Redact()
	}
	return strfmt.Base64(s)
}

// source gives a source with its credentials, which String would leave out.
func (w writer) source(s executor.Source) string {
	if s.IsZero() {
		return ""
	}
	if !w.clear {
		s = s.Redact()
	}
	return textModel(s)
}

// url gives a URL with its user information.
func (w writer) url(u executor.URL) string {
	if u.IsZero() {
		return ""
	}
	if !w.clear {
		u = u.Redact()
	}
	return textModel(u)
}

// value gives the value of a key. That of a field which is a secret itself is plain, those of others are sealed; a sealed one tells whether it
// is the same as another.
func (w writer) value(p *extraconfig.Pair) string {
	if !w.clear && p.Value != "" && (p.Secret() || p.Field() == keyField) {
		return executor.Redacted
	}
	return p.Value
}

// keyField is the field of an executor that is a secret.
const keyField = "key"

func (w writer) executor(e *store.Executor) *models.Executor {
	m := w.config(e.Config)
	m.Revision = e.Revision
	setRevisions(e, sessionKind, m.Sessions)
	setRevisions(e, execKind, m.Execs)
	setRevisions(e, mountKind, m.Mounts)
	setRevisions(e, endpointKind, m.Networks)
	return m
}

// config is executor without the revisions, which a configuration does not have.
func (w writer) config(c *executor.ExecutorConfig) *models.Executor {
	m := &models.Executor{
		ID: c.ID, Name: c.Name, ExecutionEnvironment: c.ExecutionEnvironment, Notes: c.Notes,
		CreateTime:        timeModel(c.CreateTime.Time()),
		Diagnostics:       diagnosticsModel(&c.Diagnostics),
		Sessions:          entryModels(w, c, sessionKind),
		Execs:             entryModels(w, c, execKind),
		Mounts:            entryModels(w, c, mountKind),
		Networks:          entryModels(w, c, endpointKind),
		Key:               w.secret(c.Key),
		LayerID:           c.LayerID,
		ImageID:           c.ImageID,
		Annotations:       stringsModel(c.Annotations),
		RepoName:          c.RepoName,
		AsymmetricRouting: c.AsymmetricRouting,
		Hostname:          c.Hostname,
		Domainname:        c.Domainname,
	}
	if v := c.Version; v != nil {
		m.Version = &models.BuildVersion{
			Version: v.Version, GitCommit: v.GitCommit, BuildDate: v.BuildDate, BuildNumber: v.BuildNumber, State: v.State, PluginVersion: int64(v.PluginVersion),
		}
	}
	return m
}

func (writer) session(s *executor.SessionConfig, _ string) *models.Session {
	return &models.Session{
		ID: s.ID, Name: s.Name, ExecutionEnvironment: s.ExecutionEnvironment, Notes: s.Notes,
		Detail: &models.SessionDetail{
			CreateTime: timeModel(s.Detail.CreateTime.Time()), StartTime: timeModel(s.Detail.StartTime.Time()), StopTime: timeModel(s.Detail.StopTime.Time()),
		},
		Cmd:         &models.Cmd{Path: s.Cmd.Path, Args: listOf(s.Cmd.Args), Env: listOf(s.Cmd.Env), Dir: s.Cmd.Dir},
		Attach:      s.Attach,
		OpenStdin:   s.OpenStdin,
		RunBlock:    s.RunBlock,
		Active:      s.Active,
		Tty:         s.Tty,
		ExitStatus:  int64(s.ExitStatus),
		Started:     s.Started,
		Restart:     s.Restart,
		StopSignal:  s.StopSignal,
		Diagnostics: diagnosticsModel(&s.Diagnostics),
		User:        s.User,
		Group:       s.Group,
	}
}

func diagnosticsModel(d *executor.Diagnostics) *models.Diagnostics {
	m := &models.Diagnostics{DebugLevel: int64(d.DebugLevel), ResurrectionCount: int64(d.ResurrectionCount), ExitLogs: []*models.ExitLog{}}
	for _, e := range d.ExitLogs {
		m.ExitLogs = append(m.ExitLogs, &models.ExitLog{Time: timeModel(e.Time), ExitStatus: int64(e.ExitStatus), Message: e.Message})
	}
	if s := d.SysLogConfig; s != nil {
		m.SysLogConfig = &models.SysLogConfig{Network: s.Network, RAddr: s.RAddr}
	}
	return m
}

func (w writer) mount(s executor.MountSpec, name string) *models.Mount {
	return &models.Mount{Name: name, Source: w.source(s.Source), Path: s.Path, Mode: s.Mode, CopyMode: s.CopyMode.String()}
}

func (writer) endpoint(e *executor.NetworkEndpoint, _ string) *models.Endpoint {
	m := &models.Endpoint{
		ID: e.ID, Name: e.Name, ExecutionEnvironment: e.ExecutionEnvironment, Notes: e.Notes,
		Static:     e.Static,
		Assigned:   textModel(e.Assigned),
		Network:    containerNetworkModel(&e.Network),
		Ports:      listOf(e.Ports),
		Internal:   e.Internal,
		NetworkRef: e.NetworkRef,
	}
	if e.IP != nil {
		m.IP = e.IP.String()
	}
	return m
}

func containerNetworkModel(n *executor.ContainerNetwork) *models.EndpointNetwork {
	return &models.EndpointNetwork{
		ID: n.ID, Name: n.Name, ExecutionEnvironment: n.ExecutionEnvironment, Notes: n.Notes,
		Type:         n.Type,
		Destinations: textsModel(n.Destinations),
		Gateway:      textModel(n.Gateway),
		Default:      n.Default,
		Nameservers:  textsModel(n.Nameservers),
		Pools:        textsModel(n.Pools),
		Aliases:      listOf(n.Aliases),
		TrustLevel:   n.TrustLevel.String(),
		Assigned:     &models.AssignedNetwork{Gateway: textModel(n.Assigned.Gateway), Nameservers: textsModel(n.Assigned.Nameservers)},
	}
}

func networkModel(n *store.Network) *models.Network {
	c := containerNetworkModel(n.Config)
	return &models.Network{
		ID: c.ID, Name: c.Name, ExecutionEnvironment: c.ExecutionEnvironment, Notes: c.Notes, Type: c.Type, Destinations: c.Destinations,
		Gateway: c.Gateway, Default: c.Default, Nameservers: c.Nameservers, Pools: c.Pools, Aliases: c.Aliases, TrustLevel: c.TrustLevel, Assigned: c.Assigned,
		Annotations: stringsModel(n.Annotations),
		CreateTime:  timeModel(n.CreateTime),
		Revision:    n.Revision,
	}
}

func (w writer) binding(b *store.Binding) *models.VMBinding {
	return &models.VMBinding{
		Driver: b.Driver, Ref: b.Ref, Instance: b.Instance, Version: b.VM.Version, Aliases: stringsModel(b.VM.Aliases),
		Interaction: w.url(b.VM.Interaction), AgentKey: w.secret(b.VM.AgentKey), Revision: b.Revision,
	}
}

func (w writer) keyRow(p extraconfig.Pair) *models.KeyRow {
	return &models.KeyRow{
		Key: p.Key, Value: w.value(&p), Scope: p.Scope().String(), Secret: p.Secret(), NonPersistent: p.NonPersistent(), Field: p.Field(),
	}
}

// diffRow is a key that a VM has otherwise than its executor.
func (w writer) diffRow(row push.Row) *models.KeyRow {
	m := w.keyRow(*cmp.Or(row.Desired, row.Observed))
	if row.Desired == nil {
		m.Value, m.Extra = "", true
	}
	if row.Observed != nil {
		m.Observed = new(w.value(row.Observed))
	}
	m.Why = string(row.Why)
	return m
}

func statusModel(s push.Status) *models.Status {
	m := &models.Status{
		State:           string(s.State),
		DesiredRevision: s.DesiredRevision,
		PushedRevision:  s.PushedRevision,
		LastError:       s.LastError,
		Attempts:        int64(s.Attempts),
		NextRetry:       timeModel(s.NextRetry),
		Power:           string(s.Power),
		PowerSince:      timeModel(s.PowerSince),
		ObservedAt:      timeModel(s.ObservedAt),
	}
	if l := s.LastPush; l != nil {
		m.LastPush = &models.LastPush{Time: l.At.UTC(), KeysSet: int64(l.KeysSet), KeysDeleted: int64(l.KeysDeleted), DurationSeconds: l.Duration.Seconds()}
	}
	return m
}

func (w writer) plan(p push.Plan) *models.PushPlan {
	m := &models.PushPlan{
		Set: []*models.KeyRow{}, Delete: listOf(p.Delete), Unchanged: int64(p.Unchanged), Bytes: int64(p.Bytes), Calls: int64(p.Calls), SecretKey: p.SecretKey,
	}
	for _, pair := range p.Set {
		m.Set = append(m.Set, w.keyRow(pair))
	}
	return m
}

func stringsModel(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// timeModel leaves a time out that is not set.
func timeModel(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return new(at.UTC().Round(0))
}

// textModel gives the text of a value; all that have one here always do, and an unset one has none.
func textModel(v encoding.TextMarshaler) string {
	text, err := v.MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

func textsModel[T encoding.TextMarshaler](list []T) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = textModel(v)
	}
	return texts
}
