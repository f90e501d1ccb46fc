package vmtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

func pairs(set map[string]string) []extraconfig.Pair {
	var ps []extraconfig.Pair
	for _, key := range slices.Sorted(maps.Keys(set)) {
		ps = append(ps, extraconfig.Pair{Key: key, Value: set[key]})
	}
	return ps
}

func wantKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%s: %v, want %v", what, err, kind)
	}
	if text := err.Error(); strings.Contains(text, "ServerFaultCode") || strings.Contains(text, "<") || strings.HasSuffix(text, ": "+kind.Error()) {
		t.Errorf("%s: not a text for people: %s", what, text)
	}
}

// wantKeys checks that the VM holds exactly the given keys beside the ones in others, as the
// driver observes it and as the hypervisor holds it.
func (s *suite) wantKeys(t *testing.T, v VM, instance string, want, others map[string]string) {
	t.Helper()
	all := maps.Clone(others)
	maps.Copy(all, want)
	same(t, "observed", s.observe(t, instance).Keys, all)
	held := v.Keys(t)
	for key, value := range held {
		held[key] = extraconfig.Unescape(value)
	}
	same(t, "held", held, all)
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[key]; !ok {
			t.Errorf("%s: %q is missing", what, key)
		} else if value != want[key] {
			t.Errorf("%s: %q is %s, want %s", what, key, short(value), short(want[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %q should not be there", what, key)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

func short(value string) string {
	if len(value) > 100 {
		return fmt.Sprintf("%q... (%d bytes)", value[:100], len(value))
	}
	return fmt.Sprintf("%q", value)
}

func (s *suite) resolve(t *testing.T) {
	v := s.h.NewVM(t)
	instances := make(map[string][]string)
	for form, ref := range v.Refs(t) {
		instance, err := s.h.Driver.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatalf("resolve the %s %q: %v", form, ref, err)
		}
		instances[instance] = append(instances[instance], form)
	}
	if len(instances) != 1 {
		t.Fatalf("one VM was resolved to different instances: %v", instances)
	}
	for instance := range instances {
		again, err := s.h.Driver.Resolve(t.Context(), instance)
		if err != nil || again != instance {
			t.Errorf("an instance resolves to %q, %v, want itself: %q", again, err, instance)
		}
	}
	if _, other := s.fresh(t); instances[other] != nil {
		t.Error("two VMs have one instance")
	}
}

func (s *suite) resolveMissing(t *testing.T) {
	for _, ref := range []string{
		"no-such-vm", "", "vm-99999999", "/no/such/vm", "/", "a/b", "ffffffff-ffff-ffff-ffff-ffffffffffff", "é \"quoted\" <xml>",
	} {
		_, err := s.h.Driver.Resolve(t.Context(), ref)
		if !errors.Is(err, vm.ErrNotFound) {
			t.Errorf("resolve %q: %v, want %v", ref, err, vm.ErrNotFound)
		}
	}
	_, err := s.h.Driver.Observe(t.Context(), "ffffffff-ffff-ffff-ffff-ffffffffffff")
	wantKind(t, "observe", err, vm.ErrNotFound)
	err = s.h.Driver.Apply(t.Context(), "ffffffff-ffff-ffff-ffff-ffffffffffff", vm.Change{Set: pairs(map[string]string{"k": "v"})})
	wantKind(t, "apply", err, vm.ErrNotFound)
}

func (s *suite) resolveAmbiguous(t *testing.T) {
	if s.h.Ambiguous == nil {
		return
	}
	ref := s.h.Ambiguous(t)
	_, err := s.h.Driver.Resolve(t.Context(), ref)
	wantKind(t, "resolve", err, vm.ErrAmbiguous)
	if !strings.Contains(err.Error(), ref) {
		t.Errorf("the error does not name %q: %v", ref, err)
	}
}

func (s *suite) observeFresh(t *testing.T) {
	v, instance := s.fresh(t)
	s.wantKeys(t, v, instance, nil, v.Keys(t))
	state := s.observe(t, instance)
	if state.Power != vm.PowerOn {
		t.Errorf("power is %q, want on", state.Power)
	}
	if s.h.Versions && state.Version == "" {
		t.Error("there is no version")
	}
	if again := s.observe(t, instance); again.Version != state.Version {
		t.Error("observing changes the version")
	}
}

func (s *suite) observeOthers(t *testing.T) {
	v, instance := s.fresh(t)
	before := s.observe(t, instance)
	v.Set(t, "guestinfo.elsewhere", "x")
	after := s.until(t, instance, "a key that another tool wrote", func(state vm.State) bool {
		return state.Keys["guestinfo.elsewhere"] == "x"
	})
	if s.h.Versions && after.Version == before.Version {
		t.Error("another tool's change leaves the version as it was")
	}
}

func (s *suite) refresh(t *testing.T) {
	d, ok := s.h.Driver.(vm.Refresher)
	if !ok {
		return
	}
	v, instance := s.fresh(t)
	s.observe(t, instance)
	for n := range 10 {
		v.Set(t, "guestinfo.elsewhere", fmt.Sprint(n))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := d.Refresh(t.Context()); err != nil {
					t.Errorf("refresh: %v", err)
				} else if got := s.observe(t, instance).Keys["guestinfo.elsewhere"]; got != fmt.Sprint(n) {
					t.Errorf("after a refresh %q is observed, want %d", got, n)
				}
			})
		}
		wg.Wait()
	}
}

func (s *suite) observePower(t *testing.T) {
	v, instance := s.fresh(t)
	last := s.observe(t, instance)
	for _, power := range []vm.Power{vm.PowerOff, vm.PowerOn, vm.PowerSuspended, vm.PowerOn} {
		v.Power(t, power)
		s.until(t, instance, "power "+string(power), func(state vm.State) bool { return state.Power == power })
		s.apply(t, instance, map[string]string{"guestinfo.power": string(power)})
		state := s.observe(t, instance)
		if state.Keys["guestinfo.power"] != string(power) {
			t.Errorf("a change of a VM that is %s was not applied", power)
		}
		switched := power == vm.PowerOff || last.Power == vm.PowerOff
		if switched == (state.Epoch == last.Epoch) {
			t.Errorf("the epoch was %q when the VM was %s, and is %q when it is %s", last.Epoch, last.Power, state.Epoch, power)
		}
		if switched == (state.Boot == last.Boot) && (state.Boot != "" || last.Boot != "") {
			t.Errorf("the boot was %q when the VM was %s, and is %q when it is %s", last.Boot, last.Power, state.Boot, power)
		}
		last = state
	}
}

func (s *suite) epochStays(t *testing.T) {
	v, instance := s.fresh(t)
	before := s.observe(t, instance)
	s.apply(t, instance, map[string]string{"a/b": "1"})
	v.Set(t, "guestinfo.elsewhere", "x")
	after := s.until(t, instance, "a key that another tool wrote", func(state vm.State) bool {
		return state.Keys["guestinfo.elsewhere"] == "x"
	})
	if after.Epoch != before.Epoch || after.Boot != before.Boot {
		t.Error("a change of keys begins an epoch, or a boot")
	}
}

func (s *suite) observeAfterApply(t *testing.T) {
	_, instance := s.fresh(t)
	for n := range 20 {
		want := fmt.Sprint(n)
		s.apply(t, instance, map[string]string{"a/n": want, "a/" + want: want})
		if state := s.observe(t, instance); state.Keys["a/n"] != want || state.Keys["a/"+want] != want {
			t.Fatalf("change %d was applied, and is not observed", n)
		}
		s.apply(t, instance, nil, "a/"+want)
		if _, there := s.observe(t, instance).Keys["a/"+want]; there {
			t.Fatalf("deletion %d was applied, and the key is still observed", n)
		}
	}
}

func (s *suite) manyFirstObserves(t *testing.T) {
	type one struct{ instance, mark string }
	var vms []one
	for range 24 {
		v, instance := s.fresh(t)
		v.Set(t, "guestinfo.mark", instance)
		vms = append(vms, one{instance, instance})
	}
	var wg sync.WaitGroup
	for _, o := range vms {
		for range 3 {
			wg.Go(func() {
				state, err := s.h.Driver.Observe(t.Context(), o.instance)
				if err != nil {
					t.Errorf("observe: %v", err)
				} else if got := state.Keys["guestinfo.mark"]; got != o.mark {
					t.Errorf("observed %q instead of %q", got, o.mark)
				}
			})
		}
		wg.Go(func() {
			_, err := s.h.Driver.Observe(t.Context(), strings.Replace(o.instance, o.instance[:4], "ffff", 1))
			if !errors.Is(err, vm.ErrNotFound) {
				t.Errorf("observe what does not exist: %v", err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) setChangeDelete(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	s.apply(t, instance, map[string]string{"common/notes": "n", "guestinfo.vice./common/id": "1", "guestinfo.vice..started": "false"})
	s.wantKeys(t, v, instance, map[string]string{"common/notes": "n", "guestinfo.vice./common/id": "1", "guestinfo.vice..started": "false"}, others)

	s.apply(t, instance, map[string]string{"common/notes": "m", "guestinfo.vice./common/name": "new"}, "guestinfo.vice..started")
	s.wantKeys(t, v, instance, map[string]string{"common/notes": "m", "guestinfo.vice./common/id": "1", "guestinfo.vice./common/name": "new"}, others)

	s.apply(t, instance, nil, "common/notes", "guestinfo.vice./common/id", "guestinfo.vice./common/name")
	s.wantKeys(t, v, instance, nil, others)
}

func (s *suite) applyAgain(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	s.apply(t, instance, map[string]string{"a/old": "x"})
	c := vm.Change{Set: pairs(map[string]string{"a/b": "1", "a/c": ""}), Delete: []string{"a/old"}}
	for range 3 {
		if err := s.h.Driver.Apply(t.Context(), instance, c); err != nil {
			t.Fatal(err)
		}
		c.Delete = nil // what is gone was not observed, and is not deleted
	}
	s.wantKeys(t, v, instance, map[string]string{"a/b": "1", "a/c": ""}, others)
}

func (s *suite) applyNothing(t *testing.T) {
	_, instance := s.fresh(t)
	before := s.observe(t, instance)
	if err := s.h.Driver.Apply(t.Context(), instance, vm.Change{Version: before.Version}); err != nil {
		t.Fatal(err)
	}
	if after := s.observe(t, instance); after.Version != before.Version {
		t.Error("an empty change changed the VM")
	}
}

// secretKey: it comes to the guest with a change, alone too, and no State shows it or that it is there.
func (s *suite) secretKey(t *testing.T) {
	v, instance := s.fresh(t)
	others := s.observe(t, instance).Keys
	has := func(key []byte, pair ...string) {
		t.Helper()
		if got := s.h.SecretKey(t, v); !bytes.Equal(got, key) {
			t.Errorf("the guest has %x, want %x", got, key)
		}
		want := maps.Clone(others)
		for _, value := range pair {
			want["guestinfo.vice./a"] = value
		}
		same(t, "observed", s.observe(t, instance).Keys, want)
	}
	has(nil)
	first, second := bytes.Repeat([]byte{0xF1}, 32), bytes.Repeat([]byte{0x02}, 32)
	s.change(t, instance, vm.Change{Set: pairs(map[string]string{"guestinfo.vice./a": "1"}), SecretKey: first})
	has(first, "1")
	for range 2 {
		s.change(t, instance, vm.Change{SecretKey: second})
		has(second, "1")
	}
	s.apply(t, instance, map[string]string{"guestinfo.vice./a": "2"})
	has(second, "2")
	if state := s.observe(t, instance); state.NoSecrets != "" {
		t.Errorf("it cannot be given one: %s", state.NoSecrets)
	}
	s.change(t, instance, vm.Change{Delete: []string{"guestinfo.vice./a"}, Forget: true})
	has(nil)
	s.change(t, instance, vm.Change{Forget: true})
	has(nil)
}

func (s *suite) foreignKeys(t *testing.T) {
	v, instance := s.fresh(t)
	for key, value := range map[string]string{"disk.enableUUID": "TRUE", "guestinfo.metadata": "m: 1\n", "guestinfo.vice./near": "miss"} {
		v.Set(t, key, value)
	}
	others := v.Keys(t)
	s.apply(t, instance, map[string]string{"guestinfo.vice./common/id": "1"})
	s.apply(t, instance, nil, "guestinfo.vice./common/id")
	s.wantKeys(t, v, instance, nil, others)
}

func (s *suite) emptyValues(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	empty := map[string]string{"guestinfo.vice./a": "", "guestinfo.vice..b": "", "c/d": ""}
	s.apply(t, instance, empty)
	s.wantKeys(t, v, instance, empty, others)
	for key := range empty {
		if raw, ok := v.Keys(t)[key]; !ok || raw == "" {
			t.Errorf("%s travels as %q: an empty value means to delete the key", key, raw)
		}
	}
	s.apply(t, instance, map[string]string{"guestinfo.vice./a": "full"})
	s.apply(t, instance, map[string]string{"guestinfo.vice./a": ""})
	s.wantKeys(t, v, instance, empty, others)
}

// OddValues are values that a channel is tempted to change.
var OddValues = map[string]string{
	"quotes":          `"double" 'single' \backslash`,
	"lines":           "one\ntwo\r\nthree\rfour\n",
	"tab":             "\ta\t",
	"space":           "  inside  and trailing   ",
	"only space":      " ",
	"emoji":           "\U0001F433 and \u00e9\u4e2d",
	"end of CDATA":    "]]>",
	"markup":          "<xml attr='1'>&amp;&lt;</xml><!-- -->",
	"ampersand":       "a&b;c",
	"bars":            "a|b||~c",
	"percent":         "%20%s%%",
	"not the nil":     "<nil> ",
	"number":          "0012",
	"boolean":         "TRUE",
	"JSON":            `{"a": [1, null]}`,
	"right to left":   "\u202eabc",
	"byte order mark": "\ufeffx",
	"beyond the BMP":  "\U0010FFFD",
}

func (s *suite) oddCharacters(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	set := make(map[string]string)
	for name, value := range OddValues {
		set["guestinfo.vice./odd/"+strings.ReplaceAll(name, " ", "_")] = value
	}
	s.apply(t, instance, set)
	s.wantKeys(t, v, instance, set, others)
}

func (s *suite) oddKeys(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	set := map[string]string{
		"guestinfo.vice./sessions|web/cmd/args~":    "1",
		"guestinfo.vice./key@secret@non-persistent": "2",
		`annotations|a"]b["c`:                       "3",
		"annotations|%7C%40%25":                     "4",
		"annotations|<é&中>":                         "5",
		"annotations|RUNNING.container":             "6",
		"mounts|a[0].b/source/User@secret":          "7",
	}
	s.apply(t, instance, set)
	s.wantKeys(t, v, instance, set, others)
	s.apply(t, instance, nil, slices.Collect(maps.Keys(set))...)
	s.wantKeys(t, v, instance, nil, others)
}

func (s *suite) largeValues(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	large := map[string]string{
		"guestinfo.vice./a": strings.Repeat("0123456789abcde\n", 60<<10/16),
		"guestinfo.vice./b": strings.Repeat("\U0001F433", 60<<10/4),
	}
	s.apply(t, instance, large)
	s.wantKeys(t, v, instance, large, others)
}

func (s *suite) manyKeys(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	many := make(map[string]string)
	for i := range 1000 {
		many[fmt.Sprintf("guestinfo.vice./many|%d", i)] = fmt.Sprint(i)
	}
	s.apply(t, instance, many)
	s.wantKeys(t, v, instance, many, others)
	s.apply(t, instance, nil, slices.Sorted(maps.Keys(many))...)
	s.wantKeys(t, v, instance, nil, others)
}

// cannotTravel: whoever carries a value changed has not carried it.
func (s *suite) cannotTravel(t *testing.T) {
	_, instance := s.fresh(t)
	for n, value := range []string{"secret\x00", "secret\x1b[0m", "secret\xff", "secret\ufffe", "secret\uffff"} {
		key := fmt.Sprintf("a/b%d", n)
		err := s.h.Driver.Apply(t.Context(), instance, vm.Change{Set: pairs(map[string]string{key: value})})
		got, there := s.observe(t, instance).Keys[key]
		switch {
		case err == nil && got != value:
			t.Errorf("%q arrived as %q", value, got)
		case err != nil && there && got != value:
			t.Errorf("%q was refused, and yet something arrived: %q", value, got)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

func (s *suite) outdatedVersion(t *testing.T) {
	if !s.h.Versions {
		return
	}
	v, instance := s.fresh(t)
	outdated := s.observe(t, instance)
	if s.h.Hosted {
		s.apply(t, instance, map[string]string{"guestinfo.meanwhile": "x"})
	} else {
		v.Set(t, "guestinfo.meanwhile", "x")
	}
	c := vm.Change{Set: pairs(map[string]string{"a/b": "1"}), Version: outdated.Version}
	wantKind(t, "apply", s.h.Driver.Apply(t.Context(), instance, c), vm.ErrConflict)
	state := s.observe(t, instance)
	if _, there := state.Keys["a/b"]; there {
		t.Error("a refused change was applied")
	}
	if state.Version == outdated.Version {
		t.Error("the version that was refused is observed again")
	}
	s.apply(t, instance, map[string]string{"a/b": "1"})
}

func (s *suite) concurrent(t *testing.T) {
	type one struct {
		vm       VM
		instance string
		others   map[string]string
	}
	var vms []one
	for range 8 {
		v, instance := s.fresh(t)
		vms = append(vms, one{v, instance, v.Keys(t)})
	}
	var wg sync.WaitGroup
	for i, o := range vms {
		wg.Go(func() {
			for n := range 5 {
				err := s.h.Driver.Apply(t.Context(), o.instance, vm.Change{Set: pairs(map[string]string{"a/vm": fmt.Sprint(i), "a/n": fmt.Sprint(n)})})
				if err != nil {
					t.Errorf("apply: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				if _, err := s.h.Driver.Observe(t.Context(), o.instance); err != nil {
					t.Errorf("observe: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i, o := range vms {
		s.wantKeys(t, o.vm, o.instance, map[string]string{"a/vm": fmt.Sprint(i), "a/n": "4"}, o.others)
	}
}

func (s *suite) concurrentSameVM(t *testing.T) {
	v, instance := s.fresh(t)
	others := v.Keys(t)
	want := make(map[string]string)
	var wg sync.WaitGroup
	for i := range 8 {
		key := fmt.Sprintf("a/%d", i)
		want[key] = key
		wg.Go(func() {
			for { // without a version a change may still be refused: then it is made again
				err := s.h.Driver.Apply(t.Context(), instance, vm.Change{Set: pairs(map[string]string{key: key})})
				if errors.Is(err, vm.ErrConflict) {
					continue
				}
				if err != nil {
					t.Errorf("apply: %v", err)
				}
				return
			}
		})
	}
	wg.Wait()
	s.wantKeys(t, v, instance, want, others)
}
