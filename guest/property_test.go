package guest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// Whatever text a key set holds arrives as it is, in both directions.
func TestPropertyTextTravels(t *testing.T) {
	m := newMachine()
	s := guest.NewServer(m, guest.Options{Limits: unlimited})
	c := client(t, pipes(t.Context(), s), guest.ClientOptions{})
	text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\"\\\n\t\r</>&\u2028{}[]:,~|@ ")))).Filter(func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) && s != "<nil>"
	})
	names := rapid.StringMatching(`[a-z0-9|~@/.]{1,30}`)
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.MapOfN(names, text, 1, 40).Draw(rt, "keys")
		var pairs []guest.Pair
		for _, key := range slices.Sorted(maps.Keys(want)) {
			pairs = append(pairs, guest.Pair{Key: "guestinfo.vice.." + key, Value: want[key]})
		}
		m.mu.Lock()
		clear(m.keys)
		m.mu.Unlock()
		if _, err := c.Set(t.Context(), pairs...); err != nil {
			rt.Fatal(err)
		}
		for _, p := range pairs {
			if got := m.value(p.Key); got != extraconfig.Escape(p.Value) {
				rt.Fatalf("%q became %q", p.Value, got)
			}
		}
		v, err := c.Snapshot(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		values, err := v.Values()
		if err != nil || len(values) != len(pairs) {
			rt.Fatalf("%d keys of %d: %v", len(values), len(pairs), err)
		}
		for i, value := range values {
			if value.Key != pairs[i].Key || value.Text != pairs[i].Value {
				rt.Fatalf("%+v became %+v", pairs[i], value)
			}
		}
	})
}

// The largest key sets fit into one message, whatever is in them.
func TestLargestSnapshot(t *testing.T) {
	for _, c := range []struct {
		name       string
		size, each int
		value      string
	}{
		{"values that JSON escapes", 1 << 20, 64 << 10, "\n"},
		{"empty values", 1 << 20, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine()
			for i, size := 0, 0; size < c.size; i++ {
				key := fmt.Sprintf("guestinfo.vice./%07d", i)
				m.keys[key] = extraconfig.Escape(strings.Repeat(c.value, c.each))
				size += len(key) + c.each
			}
			client := client(t, pipes(t.Context(), guest.NewServer(m, guest.Options{Limits: unlimited})), guest.ClientOptions{})
			v, err := client.Snapshot(t.Context())
			if err != nil || len(v.Keys) != len(m.keys) {
				t.Errorf("%d keys of %d: %v", len(v.Keys), len(m.keys), err)
			}
		})
	}
	m := newMachine(name, strings.Repeat("x", guest.MaxLine))
	c := client(t, pipes(t.Context(), guest.NewServer(m, guest.Options{})), guest.ClientOptions{})
	if _, err := c.Snapshot(t.Context()); err == nil || err.Error() != "the answer is too long (code -32603)" {
		t.Errorf("too large: %v", err)
	}
}
