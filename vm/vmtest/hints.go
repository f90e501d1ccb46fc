package vmtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/vm"
)

// watch starts a Watch, whose hints come out of the channel. It is over when the test is.
func (s *suite) watch(t *testing.T) <-chan string {
	t.Helper()
	hints := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.h.Driver.Watch(ctx, func(instance string) {
			select {
			case hints <- instance:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v, want %v", err, context.Canceled)
		}
	})
	return hints
}

// wantHint waits for a hint of an instance; others may come as well. A Watch may begin a little after it was called, and a hint may be
// lost: the VM is looked at now and then, which brings a driver back that waits for better times, and what is hinted at done again.
func (s *suite) wantHint(t *testing.T, hints <-chan string, instance, what string, do func()) {
	t.Helper()
	again := time.NewTicker(patience / 200)
	defer again.Stop()
	do()
	for limit := time.After(patience); ; {
		select {
		case hint := <-hints:
			if hint == instance {
				return
			}
		case <-again.C:
			s.observe(t, instance)
			do()
		case <-limit:
			t.Fatalf("no hint came of %s", what)
		}
	}
}

func (s *suite) hints(t *testing.T) {
	v, instance := s.fresh(t)
	s.observe(t, instance)
	hints := s.watch(t)
	n := 0
	s.wantHint(t, hints, instance, "a key that another tool wrote", func() {
		n++
		v.Set(t, "guestinfo.elsewhere", time.Duration(n).String())
	})
	s.until(t, instance, "what was hinted at", func(state vm.State) bool {
		return state.Keys["guestinfo.elsewhere"] == time.Duration(n).String()
	})
	power := vm.PowerOn
	s.wantHint(t, hints, instance, "a power change", func() {
		if power == vm.PowerOn {
			power = vm.PowerOff
		} else {
			power = vm.PowerOn
		}
		v.Power(t, power)
	})
}

func (s *suite) hintsToSeveral(t *testing.T) {
	v, instance := s.fresh(t)
	s.observe(t, instance)
	n := 0
	for _, hints := range []<-chan string{s.watch(t), s.watch(t)} {
		s.wantHint(t, hints, instance, "a key that another tool wrote", func() {
			n++
			v.Set(t, "guestinfo.elsewhere", time.Duration(n).String())
		})
	}
}
