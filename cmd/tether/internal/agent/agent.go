//go:build linux

// Package agent is the life of the guest's agent: it takes a snapshot of the executor, acts on it, reports what came of it,
// and does so again whenever something changes. What to do is decided by comparing two configurations (plan); networks and mounts
// are set up by one goroutine (setup), sessions are run by another (sessions), and reports leave through a third (outbox).
package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// Options are what an agent works with.
type Options struct {
	Channel *guest.Client
	Table   *process.Table
	Console io.Writer // gets the output of all sessions
	Log     *slog.Logger
}

// logs is how many exits are kept for each session.
const logs = 10

// codec writes reports.
var codec = sync.OnceValues(extraconfig.New[executor.ExecutorConfig])

// agent runs on one goroutine, that of its mailbox.
type agent struct {
	o        Options
	log      *slog.Logger
	console  *process.Console
	codec    *extraconfig.Codec[executor.ExecutorConfig]
	box      *mailbox
	outbox   *outbox
	setup    *setup
	config   *executor.ExecutorConfig // what was acted on last
	known    *executor.ExecutorConfig // the same, with all reports so far
	sessions map[ref]*session
}

// Run is the agent's life, which ends with ctx, whose cause is the error: the sessions that still run are left to the caller.
func Run(ctx context.Context, o Options) error {
	c, err := codec()
	if err != nil {
		return err
	}
	a := &agent{
		o: o, log: o.Log, console: process.NewConsole(o.Console), codec: c, box: newMailbox(), outbox: newOutbox(o.Log),
		config: new(executor.ExecutorConfig), known: new(executor.ExecutorConfig), sessions: map[ref]*session{},
	}
	a.setup = newSetup(ctx, o.Log, func(path []string, change func(*executor.ExecutorConfig)) {
		a.box.put(func() { a.report(path, change) })
	})
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { a.box.run(ctx) })
	all.Go(a.setup.run)
	all.Go(func() { a.outbox.run(ctx, o.Channel) })
	for change, err := range o.Channel.Watch(ctx) {
		if err != nil {
			break // ctx has ended
		}
		view, err := o.Channel.Snapshot(ctx)
		if err != nil {
			a.log.Warn("no snapshot was to be had", "err", err)
			continue
		}
		a.log.Debug("took a snapshot", "revision", view.Revision, "announced", change.Revision)
		a.box.put(func() { a.see(view) }) //nolint:contextcheck // what is set up has the context of all of the setup
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// see acts on a snapshot.
func (a *agent) see(view guest.View) {
	view.Snapshot = a.outbox.overlay(view.Snapshot)
	config, err := view.Config()
	if config == nil {
		a.log.Error("the configuration cannot be read", "err", err)
		return
	}
	if err != nil {
		a.log.Warn("a part of the configuration cannot be read", "err", err)
	}
	actions := plan(a.config, config)
	a.config, a.known = config, config.Clone()
	var system, begins []action
	for _, act := range actions {
		a.log.Info("change", "do", string(act.kind), "name", act.name, "session", act.session.id)
		switch act.kind {
		case stop:
			a.stop(act.session)
		case remove:
			a.remove(act.session)
		case start:
			begins = append(begins, act)
		case later:
			a.log.Info("a session that runs keeps what it was started with", "session", act.name)
		case never:
			a.log.Warn("this agent does not act on the field", "field", act.name)
		default:
			system = append(system, act)
		}
	}
	a.setup.do(config, system, func() { a.box.put(func() { a.begin(begins) }) })
}

func (a *agent) begin(actions []action) {
	for _, act := range actions {
		a.start(act.session)
	}
}

// report changes the fields that the guest owns in one part of the configuration, and sends what differs by that.
func (a *agent) report(path []string, change func(*executor.ExecutorConfig)) {
	before := a.known
	after := before.Clone()
	change(after)
	pairs, err := a.difference(before, after, path)
	if err != nil {
		a.log.Error("a report cannot be written", "of", strings.Join(path, "."), "err", err)
		return
	}
	a.known = after
	if len(pairs) > 0 {
		a.outbox.put(strings.Join(path, "."), pairs)
	}
}

func (a *agent) difference(before, after *executor.ExecutorConfig, path []string) ([]extraconfig.Pair, error) {
	was, err := a.codec.EncodePart(before, path)
	if err != nil {
		return nil, err
	}
	is, err := a.codec.EncodePart(after, path)
	if err != nil {
		return nil, err
	}
	owned := func(p extraconfig.Pair) bool { return p.Scope() == extraconfig.ReadWrite }
	return extraconfig.Diff(was.Filter(owned), is.Filter(owned)).Set, nil
}

// failure is an entry in the executor's own log, the only place that the parts without a field for it have to
// say that they failed.
func failure(of string, err error) func(*executor.ExecutorConfig) {
	entry := executor.ExitLog{Time: time.Now().UTC(), ExitStatus: 1, Message: message(fmt.Errorf("%s: %w", of, err))}
	return func(c *executor.ExecutorConfig) { keep(&c.Diagnostics, entry) }
}

func keep(d *executor.Diagnostics, entry executor.ExitLog) {
	d.ExitLogs = append(d.ExitLogs, entry)
	if n := len(d.ExitLogs); n > logs {
		d.ExitLogs = d.ExitLogs[n-logs:]
	}
}

// message is an error as a value can hold it: not too long, and on one line.
func message(err error) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "?")), " ")
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + "..."
	}
	return text
}
