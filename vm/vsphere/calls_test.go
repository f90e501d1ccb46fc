package vsphere_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/vsphere"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// inFlight is how many VMs the reconciler works on at once.
const inFlight = 64

// fleet is many VMs, with a driver that speaks to them through an endpoint that counts.
type fleet struct {
	*fixture
	endpoint  *endpoint
	driver    *vsphere.Driver
	instances []string
}

func newFleet(t testing.TB, vms int) *fleet {
	t.Helper()
	f := &fleet{fixture: newFixture(t, vms)}
	f.endpoint = newEndpoint(t, f.sim.URL())
	driver, err := vsphere.New(vsphere.Options{URL: f.endpoint.URL, Username: simulator.Username, Password: simulator.Password})
	must(t, err)
	f.driver = driver
	t.Cleanup(func() { must(t, driver.Close(context.Background())) })
	for n := range vms {
		instance, err := f.fixture.driver.Resolve(context.Background(), fmt.Sprintf("/DC0/vm/vm%d", n+1))
		must(t, err)
		f.instances = append(f.instances, instance)
	}
	return f
}

// each does something for every VM, so many at once.
func (f *fleet) each(t testing.TB, do func(instance string) error) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(f.instances); n = int(next.Add(1)) - 1 {
				if err := do(f.instances[n]); err != nil {
					t.Errorf("vm%d: %v", n+1, err)
				}
			}
		})
	}
	wg.Wait()
}

// converge makes a VM hold the pairs, as the reconciler does: look, change, look again.
func (f *fleet) converge(ctx context.Context, instance string, want map[string]string) error {
	for range 100 {
		state, err := f.driver.Observe(ctx, instance)
		if errors.Is(err, vm.ErrUnavailable) {
			continue
		}
		if err != nil {
			return err
		}
		c := vm.Change{Version: state.Version}
		for key, value := range want {
			if state.Keys[key] != value {
				c.Set = append(c.Set, extraconfig.Pair{Key: key, Value: value})
			}
		}
		err = f.driver.Apply(ctx, instance, c)
		switch {
		case err == nil && c.Empty():
			return nil
		case err != nil && !errors.Is(err, vm.ErrUnavailable) && !errors.Is(err, vm.ErrConflict):
			return err
		}
	}
	return errors.New("it does not converge")
}

func keys(n int, value string) map[string]string {
	set := make(map[string]string, n)
	for i := range n {
		set[fmt.Sprintf("guestinfo.vice./sessions|s%d/cmd/path", i)] = value
	}
	return set
}

func (f *fleet) report(t *testing.T, what string, most int) {
	t.Helper()
	lists := 2 + int(20*time.Since(f.endpoint.since).Seconds()) // a second at most, where tasks take long
	total, byMethod := f.endpoint.take()
	slow := byMethod["ModifyListView"] <= lists && total-byMethod["ModifyListView"] == len(f.instances)
	t.Logf("%s of %d VMs: %d calls, %.3f each: %v", what, len(f.instances), total, float64(total)/float64(len(f.instances)), byMethod)
	if total > most && !slow {
		t.Errorf("%s took %d calls, want at most %d", what, total, most)
	}
}

func TestCalls(t *testing.T) {
	f := newFleet(t, 500)
	n := len(f.instances)
	observe := func(instance string) error {
		_, err := f.driver.Observe(t.Context(), instance)
		return err
	}
	f.each(t, observe)
	f.report(t, "the first look", n/5)

	converge := func(value string) func(string) error {
		return func(instance string) error { return f.converge(t.Context(), instance, keys(5, value)) }
	}
	f.each(t, converge("1"))
	f.report(t, "one change", n*11/10)
	// To tidy up after a change may take a call a moment later. One that came with no change would come each time.
	for again := 3; again > 0; again-- {
		f.each(t, converge("1"))
		if again == 1 {
			f.report(t, "no change", 0)
		} else if total, _ := f.endpoint.take(); total == 0 {
			break
		}
	}

	f.sim.SetLatency(simulator.Latency{TaskMax: 50 * time.Millisecond})
	f.each(t, converge("2"))
	f.report(t, "one change with slow tasks", n*11/10)
	f.sim.SetLatency(simulator.Latency{})

	calls := make(map[string]int)
	for method, count := range f.driver.Calls() {
		calls[method] = int(count)
	}
	if calls["ReconfigVM_Task"] != 2*n || calls["Login"] != 1 || calls["WaitForUpdatesEx"] == 0 {
		t.Errorf("the driver counted %v", calls)
	}
}

// The session ends in the middle of it all.
func TestSessionEndsMeanwhile(t *testing.T) {
	f := newFleet(t, 200)
	var calls atomic.Int64
	f.endpoint.onCall(func(method string) {
		if n := calls.Add(1); method == "ReconfigVM_Task" && (n == 100 || n == 300) {
			f.endSessions(t)
		}
	})
	for _, value := range []string{"1", "2"} {
		want := keys(5, value)
		f.each(t, func(instance string) error { return f.converge(t.Context(), instance, want) })
		f.each(t, func(instance string) error {
			state, err := f.driver.Observe(t.Context(), instance)
			for key := range want {
				if err == nil && state.Keys[key] != value {
					err = errors.New("it is not as it was seen to be")
				}
			}
			return err
		})
	}
	for n := range f.instances {
		held := (&simVM{f.fixture, fmt.Sprintf("vm%d", n+1)}).properties(t).Config.ExtraConfig
		got := make(map[string]string)
		for _, o := range held {
			got[o.GetOptionValue().Key] = fmt.Sprint(o.GetOptionValue().Value)
		}
		for key, value := range keys(5, "2") {
			if got[key] != value {
				t.Fatalf("vm%d holds %q at %s", n+1, got[key], key)
			}
		}
	}
	f.report(t, "two changes with two ended sessions", 1000)
}

// An answer that was lost says nothing about the change: the looks after it do, once it was made.
func TestAnswerLost(t *testing.T) {
	f := newFleet(t, 1)
	instance := f.instances[0]
	hints, ended := make(chan string, 100), make(chan error, 1)
	go func() { ended <- f.driver.Watch(t.Context(), func(instance string) { hints <- instance }) }()
	t.Cleanup(func() {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error("watch:", err)
		}
	})
	for n := range 3 {
		state, err := f.driver.Observe(t.Context(), instance)
		must(t, err)
		f.endpoint.loseNext("ReconfigVM_Task")
		want := fmt.Sprint(n)
		err = f.driver.Apply(t.Context(), instance, vm.Change{Set: []extraconfig.Pair{{Key: "a/b", Value: want}}, Version: state.Version})
		if !errors.Is(err, vm.ErrUnavailable) {
			t.Fatalf("the answer was lost, and the outcome is %v", err)
		}
		for {
			state, err = f.driver.Observe(t.Context(), instance)
			must(t, err)
			if state.Keys["a/b"] == want {
				break
			}
			<-hints // the task is under way, though its answer was lost
		}
	}
}
