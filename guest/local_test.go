package guest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmexecutor/config-server/guest"
)

// Other programs of a guest use the connection of its agent, and see what that sees.
func TestServeLocal(t *testing.T) {
	nothingLeft(t)
	m := newMachine(name, "web", "guestinfo.vice./hostname", "<nil>")
	m.key = make([]byte, 32)
	s := guest.NewServer(m, guest.Options{})
	agent := client(t, pipes(t.Context(), s), guest.ClientOptions{})
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- agent.ServeLocal(ctx, l) }()

	c := client(t, address(t, "unix:"+path), guest.ClientOptions{})
	if w := c.Welcome(); w.Executor != "e1" || len(w.Key) != 32 {
		t.Errorf("welcome %+v", w)
	}
	if _, err := c.Set(t.Context(), guest.Pair{Key: status, Value: ""}); err != nil || m.value(status) != "<nil>" {
		t.Errorf("set: %v, %q", err, m.value(status))
	}
	_, err = c.Set(t.Context(), guest.Pair{Key: name, Value: "x"})
	if r, ok := errors.AsType[*guest.Refusal](err); !ok || r.Key != name {
		t.Errorf("set: %v", err)
	}
	v, err := c.Get(t.Context(), "guestinfo.vice./hostname")
	if err != nil || len(v.Keys) != 1 || v.Keys[0].Value != "<nil>" {
		t.Errorf("get: %+v, %v", v, err)
	}
	seen := 0
	for change, err := range c.Watch(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; len(change.Keys) == 1 && change.Keys[0] == name {
			break
		}
		s.Changed(m.put(name, "y"), name) // until the relay has subscribed, too
	}
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("ServeLocal: %v", err)
	}
	_ = c.Close()
	_ = agent.Close()
}
