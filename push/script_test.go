package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

// TestStories runs the stories of testdata: what happens, a line each, and what must be then. A file of a story is a configuration
// that it puts.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tell(t, func(s *story) {
				sc := &script{story: s, files: map[string][]byte{}}
				for _, f := range archive.Files {
					sc.files[f.Name] = f.Data
				}
				for n, line := range strings.Split(string(archive.Comment), "\n") {
					words := strings.Fields(line)
					if len(words) == 0 || strings.HasPrefix(words[0], "#") {
						continue
					}
					command := commands[words[0]]
					if command == nil {
						t.Fatalf("%s:%d: there is no command %s", file, n+1, words[0])
					}
					if err := command(sc, words[1:]); err != nil {
						t.Fatalf("%s:%d: %s: %v", file, n+1, line, err)
					}
					s.settle()
				}
			})
		})
	}
}

// script is a story that is read from a file. VMs are called by the names they were made with.
type script struct {
	*story
	files map[string][]byte
}

var commands = map[string]func(s *script, args []string) error{
	// vm NAME: a VM that is on.
	"vm": func(s *script, a []string) error { s.driver.Add(a[0]); return nil },
	// put ID [VM]: the file ID is the executor's configuration; with a VM it is made, and bound.
	"put": func(s *script, a []string) error {
		c := &executor.ExecutorConfig{}
		if err := json.Unmarshal(s.files[a[0]], c); err != nil {
			return err
		}
		if len(a) == 1 {
			_, _, err := s.store.PutExecutor(s.ctx, c)
			return err
		}
		_, err := s.store.CreateExecutor(s.ctx, c, &store.Binding{Driver: "vsphere", Ref: a[1]})
		return err
	},
	// patch ID JSON: a client changes fields, reports too.
	"patch": func(s *script, a []string) error {
		_, err := s.store.UpdateExecutor(s.ctx, a[0], func(c *executor.ExecutorConfig) error {
			return json.Unmarshal([]byte(strings.Join(a[1:], " ")), c)
		})
		return err
	},
	"unexec": func(s *script, a []string) error {
		_, err := s.store.UpdateExecutor(s.ctx, a[0], func(c *executor.ExecutorConfig) error { delete(c.Execs, a[1]); return nil })
		return err
	},
	// bind ID VM [takeOver], unbind ID, delete ID.
	"bind": func(s *script, a []string) error {
		_, _, err := s.store.Bind(s.ctx, a[0], store.Binding{Driver: "vsphere", Ref: a[1], TakeOver: len(a) > 2})
		return err
	},
	"unbind": func(s *script, a []string) error { return s.store.Unbind(s.ctx, a[0]) },
	"delete": func(s *script, a []string) error { return s.store.DeleteExecutor(s.ctx, a[0]) },
	// rename OLD NEW: the VM has another name, its identity stays.
	"rename": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), func(v *vmfake.VM) { v.Name = a[1] })
		return nil
	},
	// vanish VM, return VM: it is unregistered, and registered again.
	"vanish": func(s *script, a []string) error { return s.gone(a[0], true) },
	"return": func(s *script, a []string) error { return s.gone(a[0], false) },
	// write VM KEY=VALUE... -KEY...: a guest or an operator changes keys.
	"write": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), func(m *vmfake.VM) { writeKeys(m, a[1:]) })
		return nil
	},
	// power VM on|off|suspended: a power-off brings back what was there at the power-on, or at the last save VM since.
	"power": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), func(v *vmfake.VM) { v.Turn(vm.Power(a[1])) })
		return nil
	},
	"save": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), (*vmfake.VM).Keep)
		return nil
	},
	// snapshot VM, revert VM: back to the last one, and off.
	"snapshot": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), (*vmfake.VM).Snap)
		return nil
	},
	"revert": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), (*vmfake.VM).Revert)
		return nil
	},
	// erases VM: a power-off erases what was changed while the VM ran. ovf VM own|none: whether its OVF environment is in the way of a
	// secret key.
	"erases": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), func(v *vmfake.VM) { v.Erases = true })
		return nil
	},
	"ovf": func(s *script, a []string) error {
		s.driver.Do(vmfake.InstanceOf(a[0]), func(v *vmfake.VM) {
			if v.NoSecrets = ""; a[1] == "own" {
				v.NoSecrets = "the VM has its own OVF environment"
			}
		})
		return nil
	},
	// fail OP ERROR [TIMES]: calls of a kind fail; lost is a change that is made, and whose answer is not received. heal.
	"fail": func(s *script, a []string) error { return s.fault(a) },
	"heal": func(s *script, _ []string) error { s.driver.failing(nil); return nil },
	"hint": func(s *script, a []string) error { s.driver.Hint(vmfake.InstanceOf(a[0])); return nil },
	"later": func(s *script, a []string) error {
		d, err := time.ParseDuration(a[0])
		s.later(d)
		return err
	},
	"sweep":   func(s *script, _ []string) error { s.sweep(); return nil },
	"stop":    func(s *script, _ []string) error { s.stop(); s.stop = func() {}; return nil },
	"start":   func(s *script, _ []string) error { s.start(); return nil },
	"restart": func(s *script, _ []string) error { s.stop(); s.start(); return nil },

	// status ID STATE [WORDS OF THE ERROR].
	"status": func(s *script, a []string) error {
		st := s.status(a[0])
		if st.State != State(a[1]) || !strings.Contains(st.LastError, strings.Join(a[2:], " ")) {
			return fmt.Errorf("it is %s (%s)", st.State, st.LastError)
		}
		return nil
	},
	// changes N: so many changes were made since the last question. change KEY=VALUE... -KEY...: one, and exactly this.
	"changes": func(s *script, a []string) error {
		if got := s.driver.changes(); strconv.Itoa(len(got)) != a[0] {
			return fmt.Errorf("there were %d: %v", len(got), got)
		}
		return nil
	},
	"change": func(s *script, a []string) error {
		want := &vmfake.VM{Keys: map[string]string{}}
		deleted := writeKeys(want, a)
		got := s.driver.changes()
		if len(got) != 1 || !maps.Equal(got[0].set, want.Keys) || !slices.Equal(got[0].deleted, deleted) {
			return fmt.Errorf("changes were %v", got)
		}
		return nil
	},
	// opens VM ID|somebody|nothing: whose secrets the guest can open. given N: so many changes gave a secret key since the last question.
	"opens": func(s *script, a []string) error {
		key, want := s.driver.SecretKey(vmfake.InstanceOf(a[0])), ""
		switch a[1] {
		case "nothing":
		case "somebody":
			if want = key; key == "" {
				return errors.New("it has no key")
			}
		default:
			want = string(s.executor(a[1]).SecretKey)
		}
		if key != want {
			return fmt.Errorf("it has the key: %v, and another one: %v", key == want, key != "")
		}
		return nil
	},
	"given": func(s *script, a []string) error {
		if got := s.driver.keysGiven(); strconv.Itoa(got) != a[0] {
			return fmt.Errorf("there were %d", got)
		}
		return nil
	},
	// plan ID CALLS [key]: what a push would do now, and whether it would give a secret key or take it away.
	"plan": func(s *script, a []string) error {
		p, err := s.r.Plan(s.ctx, a[0])
		if strconv.Itoa(p.Calls) != a[1] || p.SecretKey != (len(a) > 2) {
			return errors.Join(err, fmt.Errorf("it is %+v", p))
		}
		return err
	},
	// has VM KEY=VALUE... -KEY...: the VM holds these, and lacks those.
	"has": func(s *script, a []string) error {
		keys := s.driver.keys(vmfake.InstanceOf(a[0]))
		for _, word := range a[1:] {
			if key, ok := strings.CutPrefix(word, "-"); ok {
				if value, ok := keys[key]; ok {
					return fmt.Errorf("%s is %q", key, value)
				}
			} else if key, value := splitPair(word); keys[key] != value {
				return fmt.Errorf("%s is %q", key, keys[key])
			}
		}
		return nil
	},
	// equal ID VM: the VM holds exactly what the executor says.
	"equal": func(s *script, a []string) error { s.expectKeys(a[0], vmfake.InstanceOf(a[1])); return nil },
	// clean VM: it holds nothing of ours.
	"clean": func(s *script, a []string) error {
		if keys := s.driver.keys(vmfake.InstanceOf(a[0])); len(keys) != 1 {
			return fmt.Errorf("it holds %v", keys)
		}
		return nil
	},
	// stored ID WORDS: the executor's document has them.
	"stored": func(s *script, a []string) error {
		text, err := json.Marshal(s.executor(a[0]).Config)
		if want := strings.Join(a[1:], " "); !strings.Contains(string(text), want) {
			return errors.Join(err, fmt.Errorf("it is %s", text))
		}
		return err
	},
	// why ID KEY WHY: what an explanation says of a key.
	"why": func(s *script, a []string) error {
		x, err := s.r.Explain(s.ctx, a[0])
		for _, row := range x.Rows {
			if row.pair().Key == a[1] && row.Why != Why(a[2]) {
				return fmt.Errorf("it is %q", row.Why)
			}
		}
		return err
	},
	// told ACTION N [FIELDS]: so many events of that kind were there, the last one with these fields.
	"told": func(s *script, a []string) error {
		var found []store.Event
		last, err := s.store.Revision(s.ctx)
		if err != nil {
			return err
		}
		for e, err := range s.store.Watch(s.ctx, 0) {
			if err != nil {
				return err
			}
			if e.Action == a[0] {
				found = append(found, e)
			}
			if e.Revision == last {
				break
			}
		}
		switch {
		case strconv.Itoa(len(found)) != a[1]:
			return fmt.Errorf("there were %d: %+v", len(found), found)
		case len(a) > 2 && strings.Join(found[len(found)-1].Fields, " ") != strings.Join(a[2:], " "):
			return fmt.Errorf("the last one is %+v", found[len(found)-1])
		}
		return nil
	},
}

func (s *script) gone(name string, gone bool) error {
	s.driver.Do(vmfake.InstanceOf(name), func(v *vmfake.VM) { v.SetGone(gone) })
	return nil
}

func (s *script) fault(a []string) error {
	times := -1
	if len(a) > 2 {
		n, err := strconv.Atoi(a[2])
		if err != nil {
			return err
		}
		times = n
	}
	fault, known := map[string]error{
		"unavailable": vmfake.Unavailable, "lost": vmfake.Unavailable, "conflict": nil,
		"busy": vmfake.Busy, "large": errors.New("a value is too large"), "state": errors.New("the power state is wrong"),
	}[a[1]]
	if !known {
		return fmt.Errorf("there is no fault %s", a[1])
	}
	s.driver.OnCall(func(_ context.Context, op vmfake.Op, instance string) vmfake.Fault {
		if (string(op) != a[0] && a[0] != "all") || times == 0 {
			return vmfake.Fault{}
		}
		times--
		if a[1] == "conflict" {
			s.driver.Do(instance, func(*vmfake.VM) {}) // somebody else was quicker
		}
		return vmfake.Fault{Err: fault, Done: a[1] == "lost"}
	})
	return nil
}

func writeKeys(m *vmfake.VM, words []string) (deleted []string) {
	for _, word := range words {
		if key, ok := strings.CutPrefix(word, "-"); ok {
			delete(m.Keys, key)
			deleted = append(deleted, key)
		} else {
			key, value := splitPair(word)
			m.Keys[key] = value
		}
	}
	return deleted
}

// splitPair splits at the first equals sign: keys have none.
func splitPair(word string) (key, value string) {
	key, value, _ = strings.Cut(word, "=")
	return key, value
}
