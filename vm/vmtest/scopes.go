package vmtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// Case is a line of the table of who can see and do what.
type Case struct {
	Name string
	// Result is what comes of it, on every channel; what a guest is told may differ, see Refused.
	Result string
	// Other is the result on a channel that has another one, by name, with the reason in Why.
	Other map[string]string
	Why   string
	// Refused are the channels on which the guest is told that it may not.
	Refused []string

	run func(s *scene) string
}

// result is what has to come out on a channel.
func (c Case) result(channel string) string {
	result := c.Result
	if other := c.Other[channel]; other != "" {
		result = other
	}
	if slices.Contains(c.Refused, channel) {
		result += "; refused"
	}
	return result
}

const (
	seen      = "is seen"
	notSeen   = "is not seen"
	nothing   = "changes nothing"
	taken     = "is taken into the executor"
	onVSphere = "vsphere"
	onQEMU    = "qemu"
)

var both = []string{onVSphere, onQEMU}

// Cases is the table. Scopes runs it on a channel, and Table writes it down.
var Cases = []Case{
	sees("a hidden field: notes, annotations, aliases", notSeen, "common/notes", "annotations|team", "annotations", "sessions|main/common/notes", "networks|eth1/network/aliases~"),
	sees("a hidden field under the name of a visible one", notSeen, "guestinfo.vice./common/notes", "guestinfo.vice..common.notes", "guestinfo.vice./annotations|team", "guestinfo.common/notes", "COMMON/NOTES"),
	sees("a read-only field", seen, "guestinfo.vice./hostname", "guestinfo.vice./sessions|main/cmd/Args~", "guestinfo.vice./networks|eth0/network/Common/name"),
	sees("a read-write field", seen, "guestinfo.vice..sessions|main.started", "guestinfo.vice..networks|eth1.network.type"),
	sees("a secret field", "is seen, sealed", "guestinfo.vice./mounts|data/source/User@secret"),
	{Name: "opens a secret field", Result: "it can", run: func(s *scene) string {
		if source := s.guest.Config(s.t).Mounts["data"].Source; source.User.String() != "user:password" {
			return "it cannot"
		}
		return "it can"
	}},
	sees("an exec, in its boot", seen, "guestinfo.vice./execs|job/cmd/Path@non-persistent", "guestinfo.vice..execs|job.started@non-persistent"),
	{Name: "all that is seen, against `GET /keys?scope=guest`", Result: "is the same", run: func(s *scene) string { s.inOrder(); return "is the same" }},

	writes("a read-write field", taken, nil, set("guestinfo.vice..sessions|main.started", "true")),
	writes("several read-write fields at once", taken, nil, set("guestinfo.vice..sessions|main.started", "true", "guestinfo.vice..sessions|side.status", "3")),
	writes("a read-write field of an exec, in its boot", taken, nil, set("guestinfo.vice..execs|job.started@non-persistent", "true")),
	writes("an address with its mask, where there was none", taken, nil, set("guestinfo.vice..networks|eth0.assigned.IP", "AAAAAAAAAAAAAP//CgAAAg==", "guestinfo.vice..networks|eth0.assigned.Mask", "/wAAAA==")),
	writes("a list", taken, nil, set("guestinfo.vice..sessions|main.diagnostics.exitlogs", "0", "guestinfo.vice..sessions|main.diagnostics.exitlogs|0.Time", "2017-07-14 02:40:00 +0000 UTC",
		"guestinfo.vice..sessions|main.diagnostics.exitlogs|0.ExitStatus", "1", "guestinfo.vice..sessions|main.diagnostics.exitlogs|0.Message", "failed")),
	writes("an empty value in place of another", taken, nil, func(s *scene) error {
		return s.guest.Write(s.t, map[string]string{"guestinfo.vice..networks|eth1.network.type": ""})
	}),
	writes("the value that a read-write field has", nothing, nil, set("guestinfo.vice..networks|eth1.network.type", "external")),
	writes("a value that is not the field's", nothing, []string{onQEMU}, set("guestinfo.vice..sessions|main.status", "not a number")),
	writes("half of a field", nothing, []string{onQEMU}, set("guestinfo.vice..networks|eth0.assigned.IP", "AAAAAAAAAAAAAP//CgAAAg==")),
	writes("a field that follows a container network", nothing, []string{onQEMU}, set("guestinfo.vice..networks|eth0.network.type", "mine")),
	writes("a read-write field of an entry that there is not", nothing, []string{onQEMU}, set("guestinfo.vice..sessions|ghost.started", "true")),
	writes("a read-only field", nothing, both, set("guestinfo.vice./hostname", "mine")),
	writes("a secret field", nothing, both, set("guestinfo.vice./mounts|data/source/User@secret", "mine")),
	writes("a hidden field", nothing, both, set("common/notes", "mine")),
	writes("a read-only field with `.` for `/`", nothing, []string{onQEMU}, set("guestinfo.vice..hostname", "mine")),
	writes("a read-write field with `/` for `.`", nothing, both, set("guestinfo.vice./sessions|main/started", "mine")),
	{
		Name: "writes a read-write field in other case", Result: nothing, Refused: []string{onQEMU},
		Other: map[string]string{onVSphere: taken}, Why: "to a VMX that is the same key",
		run: func(s *scene) string {
			return s.writes(func() error { return set("guestinfo.vice..SESSIONS|main.started", "true")(s) })
		},
	},
	writes("a key of nobody's", nothing, []string{onQEMU}, set("guestinfo.elsewhere", "mine")),
	writes("a value with NUL in it", nothing, both, set("guestinfo.vice..sessions|main.started", "a\x00b")),
	writes("a value that is too large", nothing, both, set("guestinfo.vice..sessions|main.started", strings.Repeat("x", store.MaxValue+1))),
	{Name: "deletes a read-write key", Result: nothing, Refused: []string{onQEMU}, run: func(s *scene) string {
		return s.writes(func() error { return s.guest.Delete(s.t, "guestinfo.vice..networks|eth1.network.type") })
	}},
	{Name: "deletes a read-only key", Result: nothing, Refused: both, run: func(s *scene) string {
		return s.writes(func() error { return s.guest.Delete(s.t, "guestinfo.vice./hostname") })
	}},

	changes("a read-only field", "is seen, with nothing else", func(c *executor.ExecutorConfig) { c.Hostname = "web-2" }, "guestinfo.vice./hostname"),
	changes("a hidden field", notSeen, func(c *executor.ExecutorConfig) { c.Notes = "other notes" }),
	changes("a field that a guest had set", "is seen, with nothing else", func(c *executor.ExecutorConfig) { c.Sessions["main"].Started = "" }, "guestinfo.vice..sessions|main.started"),
	{Name: "a client removes a session", Result: "none of its keys is seen", run: func(s *scene) string {
		s.change(func(c *executor.ExecutorConfig) { delete(c.Sessions, "side") })
		return without(s, "|side", "none of its keys is seen")
	}},
	{Name: "the guest boots again", Result: "its execs are over and not seen, all else is", run: func(s *scene) string {
		if err := s.guest.Write(s.t, map[string]string{"guestinfo.vice..sessions|main.started": "true"}); err != nil {
			return err.Error()
		}
		s.pushed()
		s.guest.Reboot(s.t)
		s.pushed()
		eventually(s.t, "the end of the exec", func() bool { return s.config().Execs["job"].Detail.StopTime != 0 })
		s.inOrder()
		if s.sees()["guestinfo.vice..sessions|main.started"] != "true" {
			return "a report is lost"
		}
		return without(s, "|job", "its execs are over and not seen, all else is")
	}},
	{Name: "the executor is unbound", Result: "nothing is seen any more", run: func(s *scene) string {
		if err := s.store.Unbind(s.t.Context(), s.id); err != nil {
			return err.Error()
		}
		eventually(s.t, "the end of its keys", func() bool { return len(s.sees()) == 0 })
		return "nothing is seen any more"
	}},
}

// sees is a case of what a guest sees, whatever key it asks for.
func sees(what, result string, keys ...string) Case {
	return Case{Name: "reads " + what, Result: result, run: func(s *scene) string {
		found := map[string]bool{}
		for _, key := range keys {
			value, ok := s.guest.Read(s.t)[key]
			switch {
			case strings.Contains(value, "password"):
				found["is seen, open"] = true
			case ok && strings.HasSuffix(key, "@secret"):
				found["is seen, sealed"] = true
			case ok:
				found[seen] = true
			default:
				found[notSeen] = true
			}
		}
		for key, value := range s.guest.Read(s.t) {
			if strings.Contains(value, "hidden") {
				found["is seen as "+key] = true
			}
		}
		return strings.Join(slices.Sorted(maps.Keys(found)), ", ")
	}}
}

// writes is a case of what comes of a guest's writing.
func writes(what, result string, refused []string, write func(*scene) error) Case {
	return Case{Name: "writes " + what, Result: result, Refused: refused, run: func(s *scene) string {
		return s.writes(func() error { return write(s) })
	}}
}

// set writes keys and values.
func set(pairs ...string) func(*scene) error {
	return func(s *scene) error {
		keys := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			keys[pairs[i]] = pairs[i+1]
		}
		return s.guest.Write(s.t, keys)
	}
}

// changes is a case of what a guest sees of a client's change: these keys, and no other.
func changes(what, result string, change func(*executor.ExecutorConfig), keys ...string) Case {
	return Case{Name: "a client changes " + what, Result: result, run: func(s *scene) string {
		if err := s.guest.Write(s.t, map[string]string{"guestinfo.vice..sessions|main.started": "true"}); err != nil {
			return err.Error()
		}
		s.pushed()
		before := s.sees()
		s.change(change)
		s.inOrder()
		var changed []string
		for key, value := range s.sees() {
			if before[key] != value {
				changed = append(changed, key)
			}
		}
		switch {
		case !slices.Equal(changed, keys):
			return fmt.Sprintf("shows as %q", changed)
		case len(keys) == 0:
			return notSeen
		}
		return "is seen, with nothing else"
	}}
}

// without is the result unless the guest sees a key with a part.
func without(s *scene, part, result string) string {
	for key := range s.sees() {
		if strings.Contains(key, part) {
			return key + " is seen"
		}
	}
	return result
}

// Scopes runs the table on a channel: what each scope lets a guest see and do there, with everything at work that delivers to it.
func Scopes(t *testing.T, c Channel) {
	s := newStage(t, c)
	for i, row := range Cases {
		t.Run(row.Name, func(t *testing.T) {
			if got := row.run(s.begin(t, fmt.Sprintf("e%d", i))); got != row.result(c.Name) {
				t.Errorf("%s, want: %s", got, row.result(c.Name))
			}
		})
	}
}

// Table writes the table down, in Markdown.
func Table() string {
	var b strings.Builder
	cell := func(c Case, channel string) string {
		result := strings.ReplaceAll(c.result(channel), "; refused", "; the guest is told that it may not")
		if c.Other[channel] != "" {
			result += ": " + c.Why
		}
		return result
	}
	fmt.Fprintf(&b, "| | on vSphere | on the guest channel |\n|---|---|---|\n")
	for _, c := range Cases {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Name, cell(c, onVSphere), cell(c, onQEMU))
	}
	return b.String()
}
