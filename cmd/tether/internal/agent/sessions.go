//go:build linux

package agent

import (
	"time"

	"github.com/vmexecutor/config-server/cmd/tether/internal/process"
	"github.com/vmexecutor/config-server/executor"
)

const (
	firstRestart = time.Second // after an exit, doubled each time
	lastRestart  = time.Minute
	longRun      = 10 * time.Second // what ran so long begins with firstRestart again
	killAfter    = 10 * time.Second // that a session which was removed may still take to end
)

// session is one that was started, or tried to.
type session struct {
	running *process.Process // nil while none
	asked   bool             // it was asked to stop
	again   bool             // it is to start when it has stopped
	removed bool             // it has left the configuration
	signal  string           // that stops it, as it was when it started
	restart *time.Timer      // of the next start
	delay   time.Duration    // before that
}

func (a *agent) session(r ref) *session {
	if a.sessions[r] == nil {
		a.sessions[r] = &session{delay: firstRestart}
	}
	return a.sessions[r]
}

// start runs a session, unless it runs already.
func (a *agent) start(r ref) {
	s, config := a.session(r), sessionOf(a.config, r)
	if config == nil || !config.Active {
		return // it left meanwhile
	}
	if s.running != nil {
		s.again = s.asked
		return
	}
	s.noRestart()
	s.asked, s.again, s.removed = false, false, false
	p, err := a.o.Table.Start(specOf(config), a.console.Session(r.id))
	if err != nil {
		a.log.Warn("a session does not start", "session", r.String(), "err", err)
		a.reportSession(r, func(c *executor.SessionConfig) { c.Started = message(err) })
		a.restartLater(r, s, config)
		return
	}
	s.running, s.signal = p, config.StopSignal
	a.log.Info("a session runs", "session", r.String(), "pid", p.PID)
	a.reportSession(r, func(c *executor.SessionConfig) {
		now := executor.UnixSeconds(p.Started.Unix())
		c.Started, c.ExitStatus, c.Detail.StartTime, c.Detail.StopTime = "true", 0, now, 0
		if c.Detail.CreateTime == 0 {
			c.Detail.CreateTime = now
		}
	})
	go func() {
		exit := <-p.Exited()
		a.box.put(func() { a.exited(r, s, exit) })
	}()
}

// exited tells of an end, and does what comes after it.
func (a *agent) exited(r ref, s *session, exit process.Exit) {
	ran := exit.Time.Sub(s.running.Started)
	s.running = nil
	a.log.Info("a session ended", "session", r.String(), "status", exit.Status, "signal", exit.Signal)
	config := sessionOf(a.config, r)
	if !s.removed {
		a.reportSession(r, func(c *executor.SessionConfig) {
			c.ExitStatus, c.Detail.StopTime = exit.Status, executor.UnixSeconds(exit.Time.Unix())
			entry := executor.ExitLog{Time: exit.Time.UTC(), ExitStatus: exit.Status}
			if exit.Signal != "" {
				entry.Message = "ended by " + exit.Signal
			}
			keep(&c.Diagnostics, entry)
		})
	}
	switch {
	case s.again:
		a.start(r)
	case config == nil:
		delete(a.sessions, r)
	case !s.asked:
		if ran >= longRun {
			s.delay = firstRestart
		}
		a.restartLater(r, s, config)
	}
}

// restartLater starts a session again in a while, if it is one to restart.
func (a *agent) restartLater(r ref, s *session, config *executor.SessionConfig) {
	if r.exec || !config.Restart || !config.Active {
		return
	}
	s.restart = time.AfterFunc(s.delay, func() {
		a.box.put(func() {
			if s.restart == nil { // it was stopped when the time had come already
				return
			}
			a.reportSession(r, func(c *executor.SessionConfig) { c.Diagnostics.ResurrectionCount++ })
			a.start(r)
		})
	})
	s.delay = min(2*s.delay, lastRestart)
}

func (s *session) noRestart() {
	if s.restart != nil {
		s.restart.Stop()
		s.restart = nil
	}
}

// stop asks a session to end. Whoever wants it to end at once has the VM to switch off.
func (a *agent) stop(r ref) {
	s := a.session(r)
	s.noRestart()
	s.delay, s.again = firstRestart, false
	if s.running == nil {
		return
	}
	s.asked = true
	name := s.signal
	if config := sessionOf(a.config, r); config != nil {
		name = config.StopSignal
	}
	sig, err := process.ParseSignal(name)
	if err != nil {
		sig, _ = process.ParseSignal("")
		a.log.Warn("the session is stopped with another signal", "session", r.String(), "signal", sig.String(), "err", err)
	}
	if err := s.running.Signal(sig); err != nil {
		a.log.Warn("the session cannot be stopped", "session", r.String(), "err", err)
	}
}

// remove ends a session that nobody can ask for any more: its processes are killed if they take long.
func (a *agent) remove(r ref) {
	a.outbox.forget(r.String())
	s := a.session(r)
	a.stop(r)
	if s.running == nil {
		delete(a.sessions, r)
		return
	}
	s.removed = true
	p := s.running
	time.AfterFunc(killAfter, func() { _ = p.Kill() })
}

func (a *agent) reportSession(r ref, change func(*executor.SessionConfig)) {
	a.report(r.path(), func(c *executor.ExecutorConfig) {
		if s := sessionOf(c, r); s != nil {
			change(s)
		}
	})
}
