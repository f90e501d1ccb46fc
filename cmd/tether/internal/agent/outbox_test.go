//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// answers is a server that answers sets one after the other.
type answers struct {
	sets chan []guest.Pair
	say  chan error
}

func (a *answers) Set(ctx context.Context, keys ...guest.Pair) (uint64, error) {
	select {
	case a.sets <- keys:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return 7, <-a.say
}

func pairs(keysAndValues ...string) (all []extraconfig.Pair) {
	for i := 0; i < len(keysAndValues); i += 2 {
		all = append(all, extraconfig.Pair{Key: keysAndValues[i], Value: keysAndValues[i+1]})
	}
	return all
}

// TestOutbox: reports leave in order, the newer replaces the older one that is not sent yet, and what is refused holds up nothing else.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o, a := newOutbox(slog.New(slog.DiscardHandler)), &answers{make(chan []guest.Pair), make(chan error)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.run(ctx, a)
		}()
		expect := func(err error, want ...guest.Pair) {
			t.Helper()
			if got := <-a.sets; !slices.Equal(got, want) {
				t.Errorf("set %v, want %v", got, want)
			}
			a.say <- err
			synctest.Wait()
		}
		o.put("b", pairs("b1", "1"))
		synctest.Wait()
		o.put("a", pairs("a1", "1", "a2", "1"))
		o.put("a", pairs("a1", "2"))
		expect(nil, guest.Pair{Key: "b1", Value: "1"})
		expect(errors.New("no"), guest.Pair{Key: "a1", Value: "2"}, guest.Pair{Key: "a2", Value: "1"})
		o.put("a", pairs("a2", "3")) // it is tried again with what is known by then
		expect(&guest.Refusal{Key: "a2"}, guest.Pair{Key: "a1", Value: "2"}, guest.Pair{Key: "a2", Value: "3"})
		expect(nil, guest.Pair{Key: "a1", Value: "2"})

		// A snapshot from before the sets shows them all the same; a later one is right by itself.
		before := guest.Snapshot{Revision: 6, Keys: []guest.Pair{{Key: "a1", Value: "0"}}}
		if got := o.overlay(before).Keys; len(got) != 2 || got[0].Value != "2" || before.Keys[0].Value != "0" {
			t.Errorf("%v", got)
		}
		if got := o.overlay(guest.Snapshot{Revision: 7, Keys: []guest.Pair{{Key: "a1", Value: "9"}}}).Keys; len(got) != 1 || got[0].Value != "9" {
			t.Errorf("%v", got)
		}
		if len(o.subjects) != 0 || len(o.reports) != 0 {
			t.Errorf("it keeps %v %v", o.subjects, o.reports)
		}
		cancel()
		<-done
	})
}

// TestOutboxIsBounded: however long nobody answers, it holds one value of each key, and sends whole subjects.
func TestOutboxIsBounded(t *testing.T) {
	o := newOutbox(slog.New(slog.DiscardHandler))
	for i := range 10000 {
		o.put(fmt.Sprint(i%3), pairs(fmt.Sprintf("%d-%d", i%3, i%100), fmt.Sprint(i)))
	}
	if n := len(o.unsent()); n != 100 {
		t.Errorf("%d reports are sent at once, want those of one subject", n)
	}
	o.forget("0")
	o.forget("1")
	if n := len(o.unsent()); n != 100 || len(o.reports) != 1 {
		t.Errorf("%d reports, %d subjects", n, len(o.reports))
	}
}
