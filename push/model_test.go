package push

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/memory"
	"github.com/vmexecutor/config-server/vm"
)

var (
	modelSteps = flag.Int("model.steps", 10_000, "steps of the model checker")
	modelSeed  = flag.Uint64("model.seed", 1, "seed of its first run; 0 is another one each time")
	modelTail  = flag.Int("model.tail", 60, "how many of the steps before a failure are told")
)

// modelRun is how many steps one run has: each begins with an empty store, and a seed of its own.
const modelRun = 500

// TestModel lets clients, guests, operators and failures do what they like in any order, and checks after every step, and whenever
// all is quiet, what must hold whatever they do. The seed that it tells when it fails repeats the run: -model.seed N -model.steps 500.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("the first of %d steps are those of -model.seed %d", *modelSteps, seed)
	for steps := *modelSteps; steps > 0 && !t.Failed(); steps -= modelRun {
		synctest.Test(t, func(t *testing.T) { newModel(t, seed).run(min(steps, modelRun)) })
		seed++
	}
}

// TestModelRepeats: a seed that found something finds it again.
func TestModelRepeats(t *testing.T) {
	var told [2][][]byte
	for i := range told {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, 1)
			m.run(modelRun / 2)
			for e, err := range m.engine.Watch(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if told[i] = append(told[i], e.Event); e.Revision == m.revision() {
					break
				}
			}
		})
	}
	for i := range told[0] {
		if i >= len(told[1]) || !bytes.Equal(told[0][i], told[1][i]) {
			t.Fatalf("commit %d was another one the second time", i+1)
		}
	}
}

// model is a world and what is known of it.
type model struct {
	*testing.T
	seed   uint64
	rng    *rand.Rand
	engine store.Engine
	store  *store.Store
	hv     *hypervisor
	r      *Reconciler
	stop   func()
	n      int      // for values that were never before
	done   []string // the last steps
	fed    uint64   // events that were looked at
	vms    []string
	ids    []string
	held   map[string]*ledger // by executor and field
	bound  map[string]int     // since which step
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), engine: memory.New(store.History{Commits: 1 << 40}), held: map[string]*ledger{}, bound: map[string]int{}}
	st, err := store.New(m.engine, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.store = st
	m.vms, m.ids = []string{"vm0", "vm1", "vm2", "vm3"}, []string{"a", "b", "c"}
	m.hv = newHypervisor(seed, st.Codec(), m.vms...)
	for i, id := range m.ids {
		c := &executor.ExecutorConfig{
			Common:   executor.Common{ID: id, Name: id, Notes: "HIDDEN notes"},
			Sessions: map[string]*executor.SessionConfig{"main": {Cmd: executor.Cmd{Path: "/bin/main", Args: []string{"main"}}}},
			Networks: map[string]*executor.NetworkEndpoint{"eth0": {Network: executor.ContainerNetwork{Aliases: []string{"a:HIDDEN"}}}},
		}
		if _, err := st.CreateExecutor(t.Context(), c, &store.Binding{Driver: "vsphere", Ref: m.vms[i]}); err != nil {
			t.Fatal(err)
		}
	}
	m.hv.weather.Set(fair)
	m.start()
	return m
}

func (m *model) start() {
	m.r = New(Options{
		Store: m.store, Drivers: map[string]vm.Driver{"vsphere": m.hv}, Logger: slog.New(slog.DiscardHandler), InFlight: 3, Resync: 90 * time.Second,
	})
	m.r.backoff.jitter = func() float64 { return 0.5 }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := m.r.Run(ctx); err != nil {
			m.Error(err)
		}
	}()
	m.stop = func() { cancel(); <-ended }
	synctest.Wait()
}

func (m *model) fail(format string, args ...any) {
	m.Helper()
	m.Fatalf("seed %d, step %d: %s\nthe steps before:\n%s", m.seed, m.hv.step, fmt.Sprintf(format, args...), strings.Join(m.done, "\n"))
}

func (m *model) did(format string, args ...any) {
	m.done = append(m.done, fmt.Sprintf("%5d %s ", m.hv.step, time.Now().Format("04:05.000"))+fmt.Sprintf(format, args...))
	m.done = m.done[max(0, len(m.done)-*modelTail):]
}

func (m *model) run(steps int) {
	defer func() { m.stop() }()
	for i := range steps {
		m.hv.tick()
		m.act()
		wait := time.Duration(m.rng.IntN(120)) * time.Millisecond
		if m.rng.IntN(8) == 0 {
			wait = time.Duration(m.rng.IntN(3000)) * time.Millisecond
		}
		<-time.After(wait)
		synctest.Wait()
		m.read()
		m.checkStatus()
		if i%40 == 39 || i == steps-1 {
			m.quiet()
		}
	}
}

// act does one thing at random.
func (m *model) act() {
	id := m.ids[m.rng.IntN(len(m.ids))]
	b := m.hv.boxes[m.vms[m.rng.IntN(len(m.vms))]]
	roll := m.rng.IntN(100)
	for _, a := range []struct {
		odds int
		act  func(id string, b *box)
	}{
		{12, m.clientConfigures}, {12, m.clientReports}, {8, m.clientExecs}, {6, m.clientSecrets}, {3, m.clientBinds},
		{26, m.guestWrites}, {8, m.guestTears}, {8, m.operatorDrifts}, {8, m.operatorTurns}, {4, m.snapshots}, {2, m.restart}, {3, m.weather},
	} {
		if roll -= a.odds; roll < 0 {
			a.act(id, b)
			return
		}
	}
}
