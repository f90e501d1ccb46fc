package extraconfig_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// withSessions is an executor with n sessions.
func withSessions(n int) *executor.ExecutorConfig {
	c := full()
	c.Mounts = nil
	session := c.Sessions["web.1"]
	for i := range n {
		s := *session
		s.ID = fmt.Sprintf("session-%03d", i)
		c.Sessions[s.ID] = &s
	}
	delete(c.Sessions, "web.1")
	return c
}

// TestCostGrowsLinearly: ten times the sessions take at most twelve times the work. Memory is counted, which gives the same
// number every time; time is the best of many turns, taken in turns, so that what else the machine does falls on both.
func TestCostGrowsLinearly(t *testing.T) {
	c := newCodec(t)
	small, large := withSessions(10), withSessions(100)
	smallKeys, largeKeys := mustEncode(t, c, small), mustEncode(t, c, large)
	for name, f := range map[string][2]func(){
		"encode":          {func() { mustEncode(t, c, small) }, func() { mustEncode(t, c, large) }},
		"decode":          {func() { mustDecode(t, c, smallKeys.Map()) }, func() { mustDecode(t, c, largeKeys.Map()) }},
		"parse":           {func() { c.Parse(smallKeys.Map()) }, func() { c.Parse(largeKeys.Map()) }},
		"diff to nothing": {func() { extraconfig.Diff(smallKeys, extraconfig.KeySet{}) }, func() { extraconfig.Diff(largeKeys, extraconfig.KeySet{}) }},
	} {
		if few, many := testing.AllocsPerRun(3, f[0]), testing.AllocsPerRun(3, f[1]); many > 12*few {
			t.Errorf("%s: %v allocations for 10 sessions, %v for 100", name, few, many)
		}
		best := [2]time.Duration{time.Hour, time.Hour}
		ratio := 0.0
		for turn := range 200 {
			for i, g := range f {
				begun := time.Now()
				g()
				best[i] = min(best[i], time.Since(begun))
			}
			if ratio = float64(best[1]) / float64(best[0]); turn > 10 && ratio <= 12 {
				break
			}
		}
		if ratio > 12 && !raceDetector {
			t.Errorf("%s: 100 sessions take %.1f times as long as 10", name, ratio)
		}
	}
}

func mustEncode(t testing.TB, c *extraconfig.Codec[executor.ExecutorConfig], v *executor.ExecutorConfig) extraconfig.KeySet {
	t.Helper()
	keys, err := c.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func mustDecode(t testing.TB, c *extraconfig.Codec[executor.ExecutorConfig], keys map[string]string) {
	t.Helper()
	if _, err := c.Decode(keys); err != nil {
		t.Fatal(err)
	}
}

// TestAllocations holds what is promised of memory: one allocation for two pairs, and none beyond the result of a difference.
func TestAllocations(t *testing.T) {
	if raceDetector {
		return // it makes pools forget
	}
	c := newCodec(t)
	for _, v := range vectors(t) {
		if !slices.Contains([]string{"03", "07", "11"}, v.name) {
			continue
		}
		before := mustEncode(t, c, v.executor)
		if n := testing.AllocsPerRun(20, func() { mustEncode(t, c, v.executor) }); int(n) > before.Len()/2 {
			t.Errorf("vector %s: %v allocations for %d pairs", v.name, n, before.Len())
		}
		other := v.executor.Clone()
		other.Hostname += "x"
		after := mustEncode(t, c, other)
		if n := testing.AllocsPerRun(20, func() { extraconfig.Diff(before, after) }); n > 1 {
			t.Errorf("vector %s: a difference of one field takes %v allocations", v.name, n)
		}
		other = v.executor.Clone()
		other.Annotations = map[string]string{"more": "x"}
		other.Version = nil
		after = mustEncode(t, c, other)
		if n := testing.AllocsPerRun(20, func() { extraconfig.Diff(before, after) }); n > 2 {
			t.Errorf("vector %s: a difference with deletions takes %v allocations", v.name, n)
		}
	}
}
