package qemu_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/qemu"
	"github.com/vmexecutor/config-server/vm/vmtest"
)

func TestConformance(t *testing.T) {
	f := newFixture(t)
	vmtest.Run(t, vmtest.Harness{
		Driver: f.Driver, Versions: true, Hosted: true,
		NewVM: func(t *testing.T) vmtest.VM { return f.attached(t, f.name()) },
	})
}

// attached is a VM whose guest sets what it likes.
func (f *fixture) attached(t *testing.T, name string) *lone {
	t.Helper()
	must(t, f.Attach(t.Context(), name, f.attachment(name)))
	return &lone{boot(t, f.Driver, name), name}
}

// attachment is one of an executor of the VM's name, without anybody above the driver.
func (f *fixture) attachment(name string) vm.Attachment {
	return vm.Attachment{
		Executor: name, Ref: name, Epoch: "earlier",
		Settle: func(context.Context) error { return nil },
		Report: func(ctx context.Context, set []extraconfig.Pair) (uint64, error) {
			return 1, f.Apply(ctx, name, vm.Change{Set: set, Revision: 1})
		},
	}
}

// lone is a guest as the suite knows a VM.
type lone struct {
	*inside
	name string
}

func (l *lone) Refs(*testing.T) map[string]string {
	return map[string]string{"name": l.name, "name with QMP": l.name + "?qmp=/run/vm.qmp"}
}

func (l *lone) Keys(t *testing.T) map[string]string {
	t.Helper()
	view, err := l.client.Snapshot(t.Context())
	must(t, err)
	keys := map[string]string{}
	for _, p := range view.Keys {
		keys[p.Key] = p.Value
	}
	return keys
}

func (l *lone) Set(t *testing.T, key, value string) {
	t.Helper()
	must(t, l.Write(t, map[string]string{key: value}))
}

func (l *lone) Power(t *testing.T, _ vm.Power) { t.Error("nobody switches it") }
func (l *lone) Remove(t *testing.T)            { t.Error("nobody removes it") }

// state waits until a VM stands as it should.
func (f *fixture) state(t *testing.T, instance, what string, fits func(vm.State) bool) {
	t.Helper()
	hints := make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		watched <- f.Watch(ctx, func(string) {
			select {
			case hints <- struct{}{}:
			default:
			}
		})
	}()
	defer func() {
		cancel()
		if err := <-watched; !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("watch ended with %v", err)
		}
	}()
	for look := time.Tick(20 * time.Millisecond); ; {
		state, err := f.Observe(t.Context(), instance)
		must(t, err)
		if fits(state) {
			return
		}
		select {
		case <-hints:
		case <-look: // Watch may have begun too late
		case <-ctx.Done():
			t.Fatalf("%s: %+v", what, state)
		}
	}
}

// TestPower: a connection means that there is a monitor, a hello that a guest has booted, and which boot that is.
func TestPower(t *testing.T) {
	f := newFixture(t)
	must(t, f.Attach(t.Context(), "vm", f.attachment("vm")))
	f.state(t, "vm", "nobody has connected", func(s vm.State) bool {
		return s.Power == vm.PowerUnknown && s.Epoch == "earlier" && !s.Booting
	})
	path, err := f.Socket("vm")
	must(t, err)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	must(t, err)
	f.state(t, "vm", "a monitor has connected", func(s vm.State) bool { return s.Power == vm.PowerOn && s.Epoch == "earlier" && s.Booting })
	must(t, conn.Close())
	f.state(t, "vm", "it is gone", func(s vm.State) bool { return s.Power == vm.PowerUnknown && s.Epoch == "earlier" && !s.Booting })
	g := boot(t, f.Driver, "vm")
	f.state(t, "vm", "the guest said hello", func(s vm.State) bool { return s.Power == vm.PowerOn && s.Epoch == "boot-1" && !s.Booting })
	if connected, greeted := f.Guests(); connected != 1 || greeted != 1 {
		t.Errorf("%d connected, %d greeted", connected, greeted)
	}
	g.Reboot(t)
	f.state(t, "vm", "it booted again", func(s vm.State) bool { return s.Power == vm.PowerOn && s.Epoch == "boot-2" && !s.Booting })
}

// TestAttach: it is told again and again, and what a guest has under way goes on; another executor's guest is another guest.
func TestAttach(t *testing.T) {
	f := newFixture(t)
	_, err := f.Observe(t.Context(), "vm")
	if !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("a VM that is not attached: %v", err)
	}
	must(t, f.Detach(t.Context(), "vm"))
	l := f.attached(t, "vm")
	must(t, f.Attach(t.Context(), "vm", f.attachment("vm")))
	l.Set(t, "k", "v")
	if state, err := f.Observe(t.Context(), "vm"); err != nil || state.Keys["k"] != "v" || state.Epoch != "boot-1" {
		t.Errorf("%+v %v", state, err)
	}

	other := f.attachment("vm")
	other.Executor = "other"
	must(t, f.Attach(t.Context(), "vm", other))
	if state, err := f.Observe(t.Context(), "vm"); err != nil || len(state.Keys) != 0 {
		t.Errorf("another executor's VM holds %+v %v", state.Keys, err)
	}
	if _, err := os.Stat(l.path); !os.IsNotExist(err) {
		t.Errorf("the socket of the first executor: %v", err)
	}
	moved := f.attachment("elsewhere")
	moved.Executor = "other"
	must(t, f.Attach(t.Context(), "elsewhere", moved))
	if _, err := f.Observe(t.Context(), "vm"); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("the VM that the executor had before: %v", err)
	}
	must(t, f.Detach(t.Context(), "elsewhere"))
	if left, err := filepath.Glob(filepath.Join(f.dir, "*-*")); err != nil || len(left) != 0 {
		t.Errorf("what is left: %v %v", left, err)
	}
}

// TestManyConnections: a monitor that comes again is served, whatever became of the connections before; the oldest goes.
func TestManyConnections(t *testing.T) {
	f := newFixture(t)
	l := f.attached(t, "vm")
	var conns []net.Conn
	for range 8 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", l.path)
		must(t, err)
		defer conn.Close()
		must(t, raw(t, conn, "boot-1", `{"keys": [{"key": "k", "value": "v"}]}`)) // and so all of them are there
		conns = append(conns, conn)
	}
	// The first client's was the oldest. It comes back by itself, and the next one goes.
	must(t, conns[0].SetReadDeadline(time.Now().Add(30*time.Second)))
	if n, err := conns[0].Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest connection reads %d %v", n, err)
	}
	l.Set(t, "k", "w")
}

// TestRefusals: each is counted, the log has as many as it should, and no value at all.
func TestRefusals(t *testing.T) {
	f := newFixture(t)
	a := f.attachment("vm")
	a.Report = func(_ context.Context, set []extraconfig.Pair) (uint64, error) {
		return 0, &vm.Refusal{Key: set[0].Key, Known: set[0].Key == "known", Reason: vm.ReasonReadOnly, Text: "the key is read-only"}
	}
	must(t, f.Attach(t.Context(), "vm", a))
	g := boot(t, f.Driver, "vm")
	for n := range 40 {
		key := "known"
		if n%2 == 1 {
			key = "canary-key"
		}
		_, err := g.client.Set(t.Context(), guest.Pair{Key: key, Value: "canary-value"})
		var refusal *guest.Refusal
		if !errors.As(err, &refusal) || refusal.Key != key || refusal.Reason != "the key is read-only" {
			t.Fatalf("%v", err)
		}
	}
	_, err := g.client.Set(t.Context(), guest.Pair{Key: "known", Value: strings.Repeat("canary", 20000)})
	if err == nil {
		t.Error("a value of 120 kB is taken")
	}
	if n, m, r := f.counted.get("refused read-only"), f.counted.get("set refused"), f.counted.get("refused request"); n != 40 || m != 40 || r != 1 {
		t.Errorf("counted were %d, %d and %d, want 40, 40 and 1", n, m, r)
	}
	if known, other := f.counted.get("refused vm known"), f.counted.get("refused vm canary-key"); known != 20 || other != 0 {
		t.Errorf("an observer is told %d times of a key of ours, and %d times of one that is not", known, other)
	}
	log := f.log.String()
	if lines := strings.Count(log, "guest refused"); lines < 10 || lines > 30 {
		t.Errorf("%d lines in the log", lines)
	}
	if !strings.Contains(log, "key=known") || !strings.Contains(log, "executor=vm") || strings.Contains(log, "canary") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestDirectory: the directory has one server, and what a dead one left is removed, but nothing else.
func TestDirectory(t *testing.T) {
	f := newFixture(t)
	if _, err := qemu.New(qemu.Options{Dir: f.dir}); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server: %v", err)
	}
	f.attached(t, "vm")
	path, err := f.Socket("vm")
	must(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	must(t, f.Close(t.Context()))
	leave := func(name string) string {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(f.dir, name), Net: "unix"})
		must(t, err)
		l.SetUnlinkOnClose(false)
		must(t, l.Close())
		return filepath.Join(f.dir, name)
	}
	stale, foreign := leave(filepath.Base(path)), leave("other.sock")
	d := f.open()
	defer d.Close(context.Background()) //nolint:errcheck // nothing is served
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a stale socket is there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("another's socket: %v", err)
	}
}

func TestPaths(t *testing.T) {
	f := newFixture(t)
	seen := map[string]bool{}
	for _, id := range []string{"a", "A", "a.b", strings.Repeat("a", 128), strings.Repeat("a", 127) + "b"} {
		path, err := f.Socket(id)
		if err != nil || seen[strings.ToLower(path)] || len(filepath.Base(path)) > 29 {
			t.Errorf("%s: %s %v", id, path, err)
		}
		seen[strings.ToLower(path)] = true
	}
	long := "/" + strings.Repeat("d", 100)
	if err := qemu.CheckDir(long); err == nil {
		t.Errorf("%s would do", long)
	}
	if err := qemu.CheckDir("/" + strings.Repeat("d", 107-30-1)); err != nil {
		t.Error(err)
	}
}

func TestRefs(t *testing.T) {
	f := newFixture(t)
	for ref, says := range map[string]string{
		"vm": "", "any name/at all": "", "vm?qmp=/run/x.qmp": "", "": "name", "?qmp=/x": "name", "vm?qmp=x": "absolute", "vm?": "qmp=",
		"vm?qmp=/a&qmp=/b": "qmp=", "vm?other=1": "qmp=", "vm?qmp=/" + strings.Repeat("x", 107): "107",
	} {
		if err := f.CheckRef(ref); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}
