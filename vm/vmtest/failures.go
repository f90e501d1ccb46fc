package vmtest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/vm"
)

func (s *suite) removed(t *testing.T) {
	v, instance := s.fresh(t)
	s.apply(t, instance, map[string]string{"a/b": "1"})
	refs := v.Refs(t)
	v.Remove(t)
	eventually(t, "that the VM is gone", func() bool {
		_, err := s.h.Driver.Observe(t.Context(), instance)
		return err != nil
	})
	for range 2 {
		_, err := s.h.Driver.Observe(t.Context(), instance)
		wantKind(t, "observe", err, vm.ErrNotFound)
		err = s.h.Driver.Apply(t.Context(), instance, vm.Change{Set: pairs(map[string]string{"a/b": "2"})})
		wantKind(t, "apply", err, vm.ErrNotFound)
	}
	for form, ref := range refs {
		_, err := s.h.Driver.Resolve(t.Context(), ref)
		wantKind(t, "resolve the "+form, err, vm.ErrNotFound)
	}
}

// contextEnds: what the caller did is not the hypervisor's fault.
func (s *suite) contextEnds(t *testing.T) {
	v, instance := s.fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, resolve := s.h.Driver.Resolve(ctx, instance)
	_, observe := s.h.Driver.Observe(ctx, instance)
	apply := s.h.Driver.Apply(ctx, instance, vm.Change{Set: pairs(map[string]string{"a/b": "1"})})
	for what, err := range map[string]error{"resolve": resolve, "observe": observe, "apply": apply} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, vm.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", what, err, context.Canceled)
		}
	}
	if _, there := v.Keys(t)["a/b"]; there {
		t.Error("a change was applied for a caller that had gone before")
	}
	s.observe(t, instance) // and the driver is none the worse
}

func (s *suite) sessionEnds(t *testing.T) {
	if s.h.EndSessions == nil {
		return
	}
	v, instance := s.fresh(t)
	others := v.Keys(t)
	for _, call := range map[string]func() error{
		"resolve": func() error { _, err := s.h.Driver.Resolve(t.Context(), instance); return err },
		"observe": func() error { _, err := s.h.Driver.Observe(t.Context(), instance); return err },
		"apply": func() error {
			return s.h.Driver.Apply(t.Context(), instance, vm.Change{Set: pairs(map[string]string{"a/b": "1"})})
		},
	} {
		s.h.EndSessions(t)
		var wg sync.WaitGroup
		for range 4 { // one log-in for all of them
			wg.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	s.wantKeys(t, v, instance, map[string]string{"a/b": "1"}, others)
}

func (s *suite) away(t *testing.T) {
	if s.h.Stop == nil {
		return
	}
	v, instance := s.fresh(t)
	refs := v.Refs(t)
	for range 2 {
		s.h.Stop(t)
		eventually(t, "that the hypervisor is away", func() bool {
			_, err := s.h.Driver.Observe(t.Context(), instance)
			return err != nil
		})
		for range 2 {
			_, err := s.h.Driver.Observe(t.Context(), instance)
			wantKind(t, "observe", err, vm.ErrUnavailable)
			err = s.h.Driver.Apply(t.Context(), instance, vm.Change{Set: pairs(map[string]string{"a/b": "1"})})
			wantKind(t, "apply", err, vm.ErrUnavailable)
			for form, ref := range refs {
				_, err := s.h.Driver.Resolve(t.Context(), ref)
				wantKind(t, "resolve the "+form, err, vm.ErrUnavailable)
			}
		}
		s.h.Start(t)
		if _, there := s.observe(t, instance).Keys["a/b"]; there {
			t.Error("a change was applied while the hypervisor was away")
		}
		s.apply(t, instance, map[string]string{"a/c": "1"})
		if s.observe(t, instance).Keys["a/c"] != "1" {
			t.Error("a change was not applied after the hypervisor came back")
		}
	}
}
