package guest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/guest"
)

// stubborn stores a set only when it is released, whatever happens to the connection.
type stubborn struct {
	*machine
	release chan struct{}
}

func (s stubborn) Set(ctx context.Context, keys []guest.Pair) (uint64, error) {
	<-s.release
	return s.machine.Set(ctx, keys)
}

// What a guest sent on an earlier connection is never done after what it sends now: the hello waits for it.
func TestHelloSupersedes(t *testing.T) {
	const first = `{"protocol":1,"boot":"b1","client":"c1"}`
	for _, c := range []struct {
		name, hello string
		ends        bool
	}{
		{"the same client", first, true},
		{"another boot", `{"protocol":1,"boot":"b2","client":"c2"}`, true},
		{"another boot, of no client", `{"protocol":1,"boot":"b2"}`, true},
		{"another client", `{"protocol":1,"boot":"b1","client":"c2"}`, false},
		{"no client", `{"protocol":1,"boot":"b1"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := stubborn{newMachine(), make(chan struct{})}
				s := guest.NewServer(m, guest.Options{})
				old, late := dial(t, s), dial(t, s)
				if a := old.ask("hello", first); a.Error != nil {
					t.Fatal(a)
				}
				set := `{"keys":[{"key":"` + status + `","value":"old"}]}`
				old.send(request("2", "set", set), request("3", "set", set), request("4", "set", set))
				synctest.Wait() // one is under way, the others wait
				late.send(request("9", "hello", c.hello))
				answered := make(chan answer, 1)
				go func() { answered <- late.next() }()
				synctest.Wait()
				if !c.ends {
					if a := <-answered; a.Error != nil {
						t.Error(a)
					}
					close(m.release)
					for range 3 {
						if a := old.next(); a.Error != nil {
							t.Error(a)
						}
					}
					return
				}
				if len(answered) > 0 {
					t.Error("the hello is answered while an old set is under way")
				}
				close(m.release)
				if a := <-answered; a.Error != nil || m.stored() != 1 {
					t.Errorf("%v, %d sets", a, m.stored())
				}
				if err := <-old.done; err != nil {
					t.Errorf("the old connection: %v", err)
				}
				synctest.Wait()
				if m.stored() != 1 {
					t.Errorf("%d sets", m.stored())
				}
			})
		})
	}
}

// Servers come and go; their guests stay.
func TestServerRestarts(t *testing.T) {
	nothingLeft(t)
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	m := newMachine(name, "0")
	start := func() (*guest.Server, func()) {
		s := guest.NewServer(m, guest.Options{Limits: unlimited})
		return s, serveAt(t, s, path)
	}
	_, stop := start()
	c := client(t, address(t, "unix:"+path), guest.ClientOptions{})
	var setter, watcher sync.WaitGroup
	done := make(chan struct{})
	setter.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := c.Set(t.Context(), guest.Pair{Key: status, Value: fmt.Sprint(i)}); err != nil || m.value(status) != fmt.Sprint(i) {
				t.Errorf("set %d: %v, the VM has %s", i, err, m.value(status))
				return
			}
		}
	})
	seen := make(chan guest.Change)
	watcher.Go(func() {
		for change, err := range c.Watch(t.Context()) {
			if err != nil {
				close(seen)
				return
			}
			seen <- change
		}
	})
	<-seen
	for range 10 {
		stop()
		var s *guest.Server
		s, stop = start()
		for !(<-seen).All { // it is back
		}
		s.Changed(m.put(name, "x"), name)
		if change := <-seen; len(change.Keys) != 1 {
			t.Errorf("after the restart: %v", change)
		}
	}
	close(done)
	setter.Wait()
	if _, err := c.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	go func() {
		for range seen {
		}
	}()
	_ = c.Close()
	watcher.Wait()
	stop()
}

// A client whose server does not answer a hello tries again.
func TestHelloUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.settling = make(chan struct{})
		began := time.Now()
		time.AfterFunc(150*time.Second, func() { close(m.settling) })
		c := client(t, pipes(t.Context(), guest.NewServer(m, guest.Options{})), guest.ClientOptions{})
		if d := time.Since(began); d < 150*time.Second || d > 155*time.Second {
			t.Errorf("welcomed after %v", d)
		}
		_ = c.Close()
	})
}
