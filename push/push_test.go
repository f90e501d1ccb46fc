package push

import (
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

func TestDeliversAndSendsOnlyWhatChanged(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		st := s.expect("web", StateSynced)
		if st.LastPush == nil || st.LastPush.KeysSet == 0 || st.Power != vm.PowerOn || st.ObservedAt.IsZero() {
			t.Errorf("status %+v", st)
		}
		s.expectKeys("web", instance)
		if got := s.driver.changes(); len(got) != 1 {
			t.Fatalf("%d changes, want one", len(got))
		}

		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{"guestinfo.vice./hostname": "other"})

		s.put("web", func(c *executor.ExecutorConfig) { c.Sessions["main"].Cmd.Args = nil })
		s.expectChange(map[string]string{}, "guestinfo.vice./sessions|main/cmd/Args", "guestinfo.vice./sessions|main/cmd/Args~")
		s.expectKeys("web", instance)

		s.put("web", func(*executor.ExecutorConfig) {})
		s.sweep()
		s.expectNoChange()
	})
}

func TestARestartWithACleanVMChangesNothing(t *testing.T) {
	tell(t, func(s *story) {
		s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.stop()
		s.start()
		s.expect("web", StateSynced)
		s.expectNoChange()
	})
}

func TestChangesMadeWhileNobodyPushedArriveAfterARestart(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if st := s.status("web"); st.State != StatePending {
			t.Errorf("%s, want pending: nobody pushed", st.State)
		}
		s.start()
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestAMissingVMFailsAndHeals(t *testing.T) {
	tell(t, func(s *story) {
		s.create("web", "vm1", nil)
		st := s.expect("web", StateFailed)
		if !strings.Contains(st.LastError, `VM "vm1" does not exist`) || st.Attempts == 0 || st.NextRetry.IsZero() || st.PushedRevision != 0 {
			t.Errorf("status %+v", st)
		}
		s.driver.Add("vm2")
		s.create("other", "vm2", nil)
		s.expect("other", StateSynced) // one that is broken delays no other

		instance := s.driver.Add("vm1")
		s.later(s.r.RetryMax * 2)
		s.expect("web", StateSynced)
		s.expectKeys("web", instance)
	})
}

func TestRetriesBackOff(t *testing.T) {
	tell(t, func(s *story) {
		s.create("web", "vm1", nil)
		s.later(time.Hour)
		// Doubling from 500 ms to 30 s, then every 30 s, each give or take a fifth.
		if n := s.status("web").Attempts; n < 95 || n > 160 {
			t.Errorf("%d attempts in an hour", n)
		}
	})
}

func TestDriftIsPutBack(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.Do(instance, func(m *vmfake.VM) {
			m.Keys["guestinfo.vice./hostname"] = "forged"
			m.Keys["guestinfo.vice./sessions|ghost/cmd/Path"] = "/bin/ghost"
			delete(m.Keys, "common/notes")
		})
		s.sweep()
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{"guestinfo.vice./hostname": "web", "common/notes": "hidden notes"}, "guestinfo.vice./sessions|ghost/cmd/Path")
	})
}

const (
	statusKey  = "guestinfo.vice..sessions|main.status"
	startedKey = "guestinfo.vice..sessions|main.started"
)

func TestAReportComesBack(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		config := s.executor("web").ConfigRevision
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey], m.Keys[startedKey] = "137", "true" })
		s.sweep()
		e := s.executor("web")
		if m := e.Config.Sessions["main"]; m.ExitStatus != 137 || m.Started != "true" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		if e.ConfigRevision != config || e.Revision <= config {
			t.Errorf("a report moved the configuration revision from %d to %d (revision %d)", config, e.ConfigRevision, e.Revision)
		}
		s.expect("web", StateSynced)
		s.expectNoChange()

		// The client's own change of such a field is pushed, and is the base for the next report.
		s.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "other" })
		if got := s.driver.get(instance, statusKey); got != "137" {
			t.Errorf("a PUT took back the report: %s", got)
		}
	})
}

func TestAReportMadeWhileTheServerWasDownIsKept(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.stop()
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey] = "3" })
		s.start()
		if got := s.executor("web").Config.Sessions["main"].ExitStatus; got != 3 {
			t.Errorf("the store has %d", got)
		}
	})
}

func TestAReportThatDoesNotParseIsDriftOfThatFieldAlone(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey], m.Keys[startedKey] = "many", "true" })
		s.sweep()
		if m := s.executor("web").Config.Sessions["main"]; m.ExitStatus != 0 || m.Started != "true" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		s.expect("web", StateSynced)
		s.expectChange(map[string]string{statusKey: "0"})
	})
}

func TestAReportThatCannotBeStoredIsDriftOfThatFieldAlone(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", nil)
		s.driver.changes()
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey], m.Keys[startedKey] = "4", "\x01" })
		s.sweep()
		if m := s.executor("web").Config.Sessions["main"]; m.ExitStatus != 4 || m.Started != "" {
			t.Errorf("the store has %d, %q", m.ExitStatus, m.Started)
		}
		s.expectChange(map[string]string{startedKey: ""})
	})
}

func TestAbsenceIsNoReport(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 9 })
		s.driver.changes()
		s.driver.Do(instance, func(m *vmfake.VM) { delete(m.Keys, statusKey) })
		s.sweep()
		s.expectChange(map[string]string{statusKey: "9"})
	})
}

func TestAClientsChangeWinsOverAReportOfTheSameField(t *testing.T) {
	tell(t, func(s *story) {
		instance := s.driver.Add("vm1")
		s.create("web", "vm1", func(c *executor.ExecutorConfig) { c.Sessions["main"].ExitStatus = 1 })
		e := s.executor("web")
		s.stop()
		s.driver.Do(instance, func(m *vmfake.VM) { m.Keys[statusKey] = "2" })
		_, err := s.store.Report(s.ctx, "web", e.Binding.Instance, e.Binding.Base, e.Binding.Seen, func(c *executor.ExecutorConfig) ([]string, error) {
			c.Sessions["main"].ExitStatus = 5 // as a client's PATCH of that field does: the base stays
			return []string{"sessions.main.exitStatus"}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.start()
		s.expect("web", StateSynced)
		if got := s.driver.get(instance, statusKey); got != "5" {
			t.Errorf("the VM has %s, want the client's 5", got)
		}
	})
}
