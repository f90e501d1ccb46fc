package storetest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// crashDir tells a process that it is to write into a store until it is killed.
const crashDir = "STORETEST_CRASH_DIR"

// crashWriters is how many write at the same time.
const crashWriters = 16

// Crash has a process open a store and write, and kills it at a random moment; then all that it was answered must be there, the feed must
// be whole, and the store sound. It is for engines whose data outlives the process. The process is the test's own binary, running
// the test that calls Crash, which must do nothing before.
func Crash(t *testing.T, rounds int, open Open) {
	h := store.History{}
	h.Commits = 1 << 40
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, open(t, dir, h))
		return
	}
	dir, last := t.TempDir(), map[string]int{}
	for range rounds {
		answers := killedAt(t, dir, rand.IntN(300)) //nolint:gosec // a random moment, no secret
		e := open(t, dir, h)
		for _, a := range answers {
			last[a.key] = max(last[a.key], a.value)
		}
		f := sound(t, e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if f == nil || t.Failed() {
			return
		}
		for _, a := range answers {
			if n := len(f.events); a.revision > uint64(n) || string(f.events[a.revision-1]) != a.event() {
				t.Fatalf("%s was answered with revision %d, and the feed has %d", a.event(), a.revision, n)
			}
		}
		for key, value := range last {
			// What was written and not answered may be there.
			if got, err := strconv.Atoi(string(f.keys[key].Value)); err != nil || got < value {
				t.Fatalf("%s was answered as %d, and is %q", key, value, f.keys[key].Value)
			}
		}
	}
}

// answered is a commit that was answered.
type answered struct {
	key      string
	value    int
	revision uint64
}

func (a answered) event() string { return fmt.Sprintf("%s=%d", a.key, a.value) }

// killedAt runs a process until it has said that many commits were answered, and then kills it.
func killedAt(t *testing.T, dir string, enough int) (answers []answered) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+t.Name()+"$", "-test.v=false") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var a answered
		if n, err := fmt.Sscanf(lines.Text(), "answered %s %d %d", &a.key, &a.value, &a.revision); err != nil || n != 3 {
			t.Errorf("the process that writes says %q", lines.Text())
			continue
		}
		if answers = append(answers, a); len(answers) > enough && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); !killed || err == nil {
		t.Fatalf("the process that writes ended by itself: %v", err)
	}
	return answers
}

// writeUntilKilled writes, and says each commit that was answered.
func writeUntilKilled(t *testing.T, e store.Engine) {
	padding := strings.Repeat(".", 2000)
	var all sync.WaitGroup
	for w := range crashWriters {
		all.Go(func() {
			a := answered{key: fmt.Sprintf("writer/%d", w)}
			err := e.View(context.Background(), func(s store.Snapshot) error {
				kv, _, err := s.Get(a.key)
				a.value, _ = strconv.Atoi(string(kv.Value))
				return err
			})
			for err == nil {
				a.value++
				ops := []store.Op{{Key: a.key, Value: strconv.AppendInt(nil, int64(a.value), 10)}, {Key: fmt.Sprintf("%s/%d", a.key, a.value%50)}}
				if a.value%3 > 0 {
					ops[1].Value = []byte(padding)
				}
				a.revision, err = e.Commit(context.Background(), store.Txn{Ops: ops, Event: []byte(a.event())})
				if err == nil {
					_, err = fmt.Fprintf(os.Stdout, "answered %s %d %d\n", a.key, a.value, a.revision)
				}
			}
			t.Error(err)
		})
	}
	all.Wait()
}
