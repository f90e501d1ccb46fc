package guest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

func TestClient(t *testing.T) {
	nothingLeft(t)
	m := newMachine(name, "web", "guestinfo.vice./hostname", "<nil>")
	c := client(t, address(t, listen(t, guest.NewServer(m, guest.Options{Software: "s/1"}))), guest.ClientOptions{Agent: "a/1"})
	if w := c.Welcome(); w.Executor != "e1" || w.Server != "s/1" || w.Limits.Keys != 256 {
		t.Errorf("welcome %+v", w)
	}
	ctx := t.Context()
	if revision, err := c.Set(ctx, guest.Pair{Key: status, Value: "1"}, guest.Pair{Key: "guestinfo.vice..x", Value: ""}); err != nil || revision != 2 {
		t.Errorf("set: %d, %v", revision, err)
	}
	v, err := c.Snapshot(ctx)
	values, errV := v.Values()
	if got := fmt.Sprint(v.Revision, written(v.Keys), written(values)); err != nil || errV != nil ||
		got != `2[{"key":"guestinfo.vice..sessions|web.status","value":"1"},{"key":"guestinfo.vice..x","value":"\u003cnil\u003e"},{"key":"guestinfo.vice./common/name","value":"web"},{"key":"guestinfo.vice./hostname","value":"\u003cnil\u003e"}]`+
			`[{"Key":"guestinfo.vice..sessions|web.status","Text":"1","Secret":false},{"Key":"guestinfo.vice..x","Text":"","Secret":false},{"Key":"guestinfo.vice./common/name","Text":"web","Secret":false},{"Key":"guestinfo.vice./hostname","Text":"","Secret":false}]` {
		t.Errorf("snapshot %s, %v, %v", got, err, errV)
	}
	v, err = c.Get(ctx, strings.ToUpper(name), "no")
	if got := fmt.Sprint(written(v.Keys), v.Missing); err != nil || got != `[{"key":"guestinfo.vice./common/name","value":"web"}][no]` {
		t.Errorf("get %s, %v", got, err)
	}
	_, err = c.Set(ctx, guest.Pair{Key: name, Value: "x"})
	if r, ok := errors.AsType[*guest.Refusal](err); !ok || r.Key != name || r.Reason != "is not for the guest to set" {
		t.Errorf("set: %v", err)
	}
	for value, want := range map[string]string{
		strings.Repeat("x", 4<<20):    "a message has at most 3145728 bytes",
		strings.Repeat("x", 64<<10+1): status + ": a value has at most 65536 bytes",
		"a\xffb":                      "cannot travel: invalid UTF-8",
	} {
		if _, err := c.Set(ctx, guest.Pair{Key: status, Value: value}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("set %.10q: %v", value, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Snapshot(ctx); !errors.Is(err, guest.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// The client opens secrets with the key of the welcome, and decodes what the server encoded.
func TestSecretsAndConfig(t *testing.T) {
	codec, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		t.Fatal(err)
	}
	key := []byte(strings.Repeat("k", 32))
	config := &executor.ExecutorConfig{Hostname: "h"}
	config.ID, config.Name = "e1", "web"
	source, err := executor.ParseSource("nfs://user:pass@host/export")
	if err != nil {
		t.Fatal(err)
	}
	config.Mounts = map[string]executor.MountSpec{"data": {Source: source, Path: "/data"}}
	keys, err := codec.Encode(config, extraconfig.WithSecretKey(key))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	m.key = key
	for p := range keys.Filter(func(p extraconfig.Pair) bool { return p.Scope().GuestVisible() }).All() {
		m.put(p.Key, extraconfig.Escape(p.Value))
	}
	c := client(t, pipes(t.Context(), guest.NewServer(m, guest.Options{})), guest.ClientOptions{})
	v, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Config()
	if err != nil || got.Mounts["data"].Source.String() != source.String() || got.Name != "web" || got.Hostname != "h" {
		t.Errorf("config %+v, %v", got, err)
	}
	values, err := v.Values()
	secrets := ""
	for _, value := range values {
		if value.Secret {
			secrets += value.Key + "=" + value.Text
		}
	}
	if err != nil || secrets != "guestinfo.vice./mounts|data/source/User@secret=user:pass" {
		t.Errorf("secrets %q, %v", secrets, err)
	}
	sealed := m.value("guestinfo.vice./mounts|data/source/User@secret")
	if sealed == "" || strings.Contains(sealed, "pass") {
		t.Errorf("the value travels as %q", sealed)
	}
	text := printed(v.Keys) + printed(values)
	text += printed(struct {
		Welcome *guest.Welcome
		View    *guest.View
	}{new(c.Welcome()), &v})
	for _, x := range []any{c.Welcome(), v, v.Snapshot} {
		text += printed(x) + logged(x)
	}
	for i := range values {
		text += logged(values[i]) + logged(v.Keys[i])
	}
	for _, secret := range []string{"kkkk", "6b6b6b", "0x6b", "107 107", "a2tr", "user:pass", "757365723a70617373", sealed} {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows in what is printed or logged: %s", secret, text)
		}
	}
	m.put("guestinfo.vice./mounts|data/source/User@secret", "AAAA")
	v, _ = c.Snapshot(t.Context())
	if _, err := v.Values(); err == nil || !strings.Contains(err.Error(), "User@secret: is not a secret of this key and executor") {
		t.Errorf("a broken secret: %v", err)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(name, "web")
		s := guest.NewServer(m, guest.Options{})
		c := client(t, pipes(t.Context(), s), guest.ClientOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		for change, err := range c.Watch(ctx) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, fmt.Sprint(change))
			switch len(got) {
			case 1:
				s.Changed(m.put(name, "x"), name)
			case 2:
				s.Changed(m.put(name, "y")) // anything
			case 3:
				s.Changed(m.put(name, "z"), name, status)
				s.Changed(m.put(status, "z"), status)
				synctest.Wait() // the second was told by now: this loop did not take the first
			case 4:
				cancel()
			}
		}
		if want := "[{1 [] true} {2 [guestinfo.vice./common/name] false} {3 [] true} {5 [guestinfo.vice..sessions|web.status guestinfo.vice./common/name] false} context canceled]"; fmt.Sprint(got) != want {
			t.Errorf("got %v", got)
		}
		_ = c.Close()
	})
}

// flaky is a way to a server that can be cut.
type flaky struct {
	server *guest.Server
	ctx    context.Context
	refuse atomic.Bool
	opened atomic.Int32
	last   atomic.Pointer[net.Conn]
}

func (f *flaky) open(context.Context) (io.ReadWriteCloser, error) {
	if f.refuse.Load() {
		return nil, errors.New("nobody listens")
	}
	near, far := net.Pipe()
	f.opened.Add(1)
	f.last.Store(&far)
	go func() { _ = f.server.Serve(f.ctx, far) }()
	return near, nil
}

func (f *flaky) cut() { (*f.last.Load()).Close() }

func TestClientReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(name, "web")
		f := &flaky{server: guest.NewServer(m, guest.Options{}), ctx: t.Context()}
		c := client(t, f.open, guest.ClientOptions{Boot: "b7"})
		changes := make(chan guest.Change, 10)
		go func() {
			for change, err := range c.Watch(t.Context()) {
				if err != nil {
					close(changes)
					return
				}
				changes <- change
			}
		}()
		if first := <-changes; !first.All {
			t.Errorf("first change %v", first)
		}
		f.refuse.Store(true)
		f.cut()
		synctest.Wait()
		m.put(name, "x") // nobody tells
		answered := make(chan error, 1)
		go func() {
			_, err := c.Set(t.Context(), guest.Pair{Key: status, Value: "1"})
			answered <- err
		}()
		<-time.After(time.Minute)
		if m.stored() != 0 {
			t.Error("stored without a connection")
		}
		f.refuse.Store(false)
		began := time.Now()
		if err := <-answered; err != nil || time.Since(began) > 5*time.Second || m.value(status) != "1" {
			t.Errorf("set: %v after %v", err, time.Since(began))
		}
		if again := <-changes; !again.All {
			t.Errorf("after the loss: %v", again)
		}
		f.server.Changed(9, name)
		if told := <-changes; told.Revision != 9 {
			t.Errorf("the new link is not subscribed: %v", told)
		}
		for _, boot := range m.boots {
			if boot != "b7" {
				t.Errorf("boots %v", m.boots)
			}
		}
		_ = c.Close()
		if _, more := <-changes; more {
			t.Error("a change after Close")
		}
	})
}

// A server that was restarted behind a stream that stays open, as a VMM may hold it, knows of no hello: the client finds out.
func TestClientNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(name, "web")
		s := guest.NewServer(m, guest.Options{})
		opened := 0
		c := client(t, func(context.Context) (io.ReadWriteCloser, error) {
			opened++
			again := opened > 1
			near, far := net.Pipe()
			go func() {
				if again {
					_ = s.Serve(t.Context(), far)
					return
				}
				first, end := context.WithTimeout(t.Context(), time.Minute)
				defer end()
				behind, middle := net.Pipe()
				go func() { _, _ = io.Copy(far, middle) }()
				go func() { _, _ = io.Copy(middle, far) }()
				_ = s.Serve(first, behind) // and then nobody reads
			}()
			return near, nil
		}, guest.ClientOptions{})
		<-time.After(59 * time.Second)
		began := time.Now()
		<-time.After(2 * time.Second) // the server is gone
		if _, err := c.Set(t.Context(), guest.Pair{Key: status, Value: "1"}); err != nil || time.Since(began) > 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_ = c.Close()
	})
}

func TestClientWaitsWhenToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		c := client(t, pipes(t.Context(), guest.NewServer(m, guest.Options{Limits: guest.Limits{Writes: 1, Burst: 2}})), guest.ClientOptions{})
		began := time.Now()
		for i := range 10 {
			if _, err := c.Set(t.Context(), guest.Pair{Key: status, Value: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d < 8*time.Second || d > 15*time.Second || m.stored() != 10 {
			t.Errorf("10 sets took %v, %d stored", d, m.stored())
		}
		m.mu.Lock()
		m.fail = guest.ErrUnavailable
		m.mu.Unlock()
		time.AfterFunc(time.Minute, func() { m.mu.Lock(); m.fail = nil; m.mu.Unlock() })
		if _, err := c.Set(t.Context(), guest.Pair{Key: status, Value: "x"}); err != nil || m.value(status) != "x" {
			t.Errorf("%v, %q", err, m.value(status))
		}
		_ = c.Close()
	})
}

func TestOpenSaysWhy(t *testing.T) {
	nothingLeft(t)
	open := address(t, "unix:/nowhere/at/all")
	_, err := guest.Open(t.Context(), open, guest.ClientOptions{Once: true})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/at/all: connect: no such file or directory") {
		t.Errorf("once: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := guest.Open(ctx, func(context.Context) (io.ReadWriteCloser, error) { return nil, errors.New("no port") }, guest.ClientOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no port") {
			t.Errorf("in time: %v", err)
		}
	})
	m := newMachine()
	m.fail = &guest.Refusal{Reason: "this VM is bound to nobody"}
	_, err = guest.Open(t.Context(), pipes(t.Context(), guest.NewServer(m, guest.Options{})), guest.ClientOptions{Once: true})
	if err == nil || err.Error() != "this VM is bound to nobody" {
		t.Errorf("refused: %v", err)
	}
}

func TestAddress(t *testing.T) {
	for _, good := range []string{"unix:/run/x", "virtio:a.b.0", "vsock:2:1024", "/dev/vport0p1"} {
		if _, err := guest.Address(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "unix:", "virtio:", "virtio:../x", "vsock:2", "vsock:2:x", "vsock:-1:2", "tcp:x:1", "unix"} {
		if _, err := guest.Address(bad); err == nil || !strings.Contains(err.Error(), "is no address") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	_, err := address(t, "virtio:no.such.port")(t.Context())
	if err == nil || err.Error() != "no such virtio-serial port: no.such.port" {
		t.Error(err)
	}
}

// written is what a value is in JSON: printed it would keep its text to itself.
func written(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// printed is a value by every verb that might show what is in it.
func printed(v any) string {
	return fmt.Sprintf("%v %+v %#v %s %q %x %X %d", v, v, v, v, v, v, v, v)
}

// logged is a value as both kinds of log have it.
func logged(v any) string {
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}
