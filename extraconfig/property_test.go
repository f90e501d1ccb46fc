package extraconfig_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// The property tests look at 5,000 cases where nothing else is asked for with -rapid.checks. The race detector finds
// nothing more in the later ones, and takes its time.
func init() {
	cases := "5000"
	if raceDetector {
		cases = "300"
	}
	if err := flag.Set("rapid.checks", cases); err != nil {
		panic(err)
	}
	for _, shared := range []fmt.Stringer{oddText, entryNames, annotationKeys, addrs, prefixes, times, executors, validExecutors} {
		_ = shared.String() // rapid makes these names when they are first wanted, and tests that run side by side want them at once
	}
}

// TestPropertyRoundTrip: what is encoded comes back, every field has a key of its own, and guests see nothing that is hidden,
// and no secret in the clear.
func TestPropertyRoundTrip(t *testing.T) {
	t.Parallel()
	c := newCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		config := executors.Draw(t, "executor")
		keys, err := c.Encode(config, extraconfig.WithSecretKey(secretKey))
		var refused *extraconfig.Error
		if err != nil && config.Validate() != nil && errors.As(err, &refused) {
			return // both say that two fields meet in one key
		}
		if err != nil {
			t.Fatal(err)
		}
		held := keys.Map()
		folded := map[string]bool{}
		for p := range keys.All() {
			folded[strings.ToLower(p.Key)] = true
			if !c.Owns(p.Key) {
				t.Fatalf("%s is not ours", p.Key)
			}
			if p.Scope().GuestVisible() && (strings.Contains(p.Value, hiddenText) || strings.Contains(p.Value, secretText)) {
				t.Fatalf("a guest sees %s", p.Key)
			}
			if visible := strings.HasPrefix(p.Key, "guestinfo."); visible != p.Scope().GuestVisible() {
				t.Fatalf("%s is %s", p.Key, p.Scope())
			}
		}
		if len(held) != keys.Len() || len(folded) != keys.Len() {
			t.Fatalf("%d pairs have %d keys, %d without case", keys.Len(), len(held), len(folded))
		}
		decoded, err := c.Decode(held, extraconfig.WithSecretKey(secretKey))
		if err != nil {
			t.Fatal(err)
		}
		if want := withoutKeyless(config); !reflect.DeepEqual(decoded, want) {
			t.Fatalf("decoded\n%+v\nwant\n%+v", decoded, want)
		}
		parsed := c.Parse(held)
		if parsed.Digest() != keys.Digest() || !maps.Equal(parsed.Fields(), keys.Fields()) {
			t.Fatal("what was parsed differs from what was encoded")
		}
	})
}

// TestPropertyDiff: the difference makes one set the other, and leaves alone what is not ours.
func TestPropertyDiff(t *testing.T) {
	t.Parallel()
	c := newCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		was, now := validExecutors.Draw(t, "was"), validExecutors.Draw(t, "now")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			now = was.Clone()
		case 1:
			now = was.Clone()
			now.Hostname, now.Mounts = "changed", nil
		}
		before, desired := encoded(t, c, was), encoded(t, c, now)
		held := map[string]string{}
		spelling, i := rapid.IntRange(0, 20).Draw(t, "spelling"), 0
		for p := range before.All() {
			if i++; i%20 == spelling { // a VM may spell keys otherwise
				held[upper(p.Key)] = p.Value
			} else {
				held[p.Key] = p.Value
			}
		}
		held["guestinfo.metadata"] = "another tool's"
		observed := c.Parse(held)
		d := extraconfig.Diff(observed, desired)
		set := map[string]bool{}
		for _, p := range d.Set {
			set[strings.ToLower(p.Key)] = true
		}
		for _, key := range d.Delete {
			if set[strings.ToLower(key)] {
				t.Fatalf("%s is set and deleted", key)
			}
			if _, ok := held[key]; !ok || !c.Owns(key) {
				t.Fatalf("%s is deleted and was not there", key)
			}
		}
		after := d.Apply(observed)
		if after.Len() != desired.Len() || !extraconfig.Diff(after, desired).Empty() {
			t.Fatal("what was applied is not what was wanted")
		}
		apply(held, d)
		if held["guestinfo.metadata"] == "" || !extraconfig.Diff(c.Parse(held), desired).Empty() {
			t.Fatal("the VM does not hold what was wanted")
		}
		if decoded, err := c.Decode(held, extraconfig.WithSecretKey(secretKey)); err != nil || !reflect.DeepEqual(decoded, withoutKeyless(now)) {
			t.Fatalf("decoded %+v, %v", decoded, err)
		}
	})
}

// TestPropertyReports: reports reach the fields that guests own, and nothing else.
func TestPropertyReports(t *testing.T) {
	t.Parallel()
	c := newCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		config, other := validExecutors.Draw(t, "executor"), validExecutors.Draw(t, "other")
		if respelled(config.Sessions, other.Sessions) || respelled(config.Execs, other.Execs) || respelled(config.Networks, other.Networks) {
			return // reports are found in any spelling, copies are not
		}
		want := config.Clone()
		c.CopyReports(want, other)
		guest := encoded(t, c, other).Map()
		got := config.Clone()
		if _, err := c.DecodeReports(got, guest, anyField); err != nil {
			t.Fatal(err)
		}
		before, after := encoded(t, c, config), encoded(t, c, got)
		for _, p := range extraconfig.Diff(before, after).Set {
			if p.Scope() != extraconfig.ReadWrite {
				t.Fatalf("%s is not a guest's to set", p.Key)
			}
		}
		// An empty list or address has no keys, so it cannot be told from one that was not reported.
		copied := encoded(t, c, want)
		for _, p := range extraconfig.Diff(after, copied).Set {
			t.Fatalf("%s was not reported", p.Key)
		}
	})
}

// respelled reports whether two maps have names that are equal but for case.
func respelled[V any](a, b map[string]V) bool {
	for x := range a {
		for y := range b {
			if x != y && strings.EqualFold(x, y) {
				return true
			}
		}
	}
	return false
}

func encoded(t *rapid.T, c *extraconfig.Codec[executor.ExecutorConfig], v *executor.ExecutorConfig) extraconfig.KeySet {
	keys, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// apply changes what a VM holds as a hypervisor does: keys ignore case and keep their spelling.
func apply(held map[string]string, d extraconfig.Delta) {
	spelled := map[string]string{}
	for key := range held {
		spelled[strings.ToLower(key)] = key
	}
	for _, key := range d.Delete {
		delete(held, spelled[strings.ToLower(key)])
	}
	for _, p := range d.Set {
		if key, ok := spelled[strings.ToLower(p.Key)]; ok {
			held[key] = p.Value
		} else {
			held[p.Key] = p.Value
		}
	}
}

// upper raises ASCII letters: VMX keys ignore their case, and theirs alone.
func upper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
