//go:build linux

package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// setter is the part of a guest.Client that reports go through.
type setter interface {
	Set(ctx context.Context, keys ...guest.Pair) (revision uint64, err error)
}

// most is how many keys are set at once, unless one subject alone has more. It is well below what servers take.
const most = 128

// setAgain is the time after a failure that says nothing of the keys.
const setAgain = time.Second

// outbox holds reports until the server has stored them. A report replaces an earlier one of the same key that was not sent yet,
// so that it is never larger than the keys that the guest owns, however long the server is away.
type outbox struct {
	log  *slog.Logger
	wake chan struct{}

	mu       sync.Mutex
	subjects []string // in the order that they are to be sent in
	reports  map[string]map[string]report
}

type report struct {
	value  string
	stored uint64 // the revision that has it, 0 before that is known
}

func newOutbox(log *slog.Logger) *outbox {
	return &outbox{log: log, wake: make(chan struct{}, 1), reports: map[string]map[string]report{}}
}

// put adds what is to be said of a subject: all of it is set at once.
func (o *outbox) put(subject string, pairs []extraconfig.Pair) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reports[subject] == nil {
		o.reports[subject] = map[string]report{}
		o.subjects = append(o.subjects, subject)
	}
	for _, p := range pairs {
		o.reports[subject][p.Key] = report{value: p.Value}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// forget drops what is to be said of a subject that is gone.
func (o *outbox) forget(subject string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.reports, subject)
	o.subjects = slices.DeleteFunc(o.subjects, func(s string) bool { return s == subject })
}

// overlay puts onto a snapshot what the server has not stored at its revision, so that it is read as it will be.
func (o *outbox) overlay(s guest.Snapshot) guest.Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	newer := map[string]string{}
	for subject, keys := range o.reports {
		maps.DeleteFunc(keys, func(_ string, r report) bool { return r.stored != 0 && r.stored <= s.Revision })
		for key, r := range keys {
			newer[key] = extraconfig.Escape(r.value)
		}
		if len(keys) == 0 {
			delete(o.reports, subject)
			o.subjects = slices.DeleteFunc(o.subjects, func(s string) bool { return s == subject })
		}
	}
	keys := slices.Clone(s.Keys)
	for i, p := range keys {
		if value, ok := newer[p.Key]; ok {
			keys[i].Value = value
			delete(newer, p.Key)
		}
	}
	for key, value := range newer {
		keys = append(keys, guest.Pair{Key: key, Value: value})
	}
	s.Keys = keys
	return s
}

// unsent are the next reports, of whole subjects.
func (o *outbox) unsent() []guest.Pair {
	o.mu.Lock()
	defer o.mu.Unlock()
	var pairs []guest.Pair
	for _, subject := range o.subjects {
		n := len(pairs)
		for _, key := range slices.Sorted(maps.Keys(o.reports[subject])) {
			if r := o.reports[subject][key]; r.stored == 0 {
				pairs = append(pairs, guest.Pair{Key: key, Value: r.value})
			}
		}
		if n > 0 && len(pairs) > most {
			return pairs[:n]
		}
	}
	return pairs
}

// settle notes what became of reports: they are stored at a revision, unless there is a newer value by now, or, without one, dropped.
func (o *outbox) settle(pairs []guest.Pair, revision uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range pairs {
		for _, keys := range o.reports {
			switch r, ok := keys[p.Key]; {
			case !ok || r.value != p.Value:
			case revision == 0:
				delete(keys, p.Key)
			default:
				keys[p.Key] = report{p.Value, revision}
			}
		}
	}
}

// run sends until ctx ends.
func (o *outbox) run(ctx context.Context, channel setter) {
	for ctx.Err() == nil {
		pairs := o.unsent()
		if len(pairs) == 0 {
			select {
			case <-o.wake:
			case <-ctx.Done():
			}
			continue
		}
		revision, err := channel.Set(ctx, pairs...)
		if err == nil {
			o.settle(pairs, revision)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		o.log.Warn("a report was not taken", "keys", len(pairs), "err", err)
		if refusal, ok := errors.AsType[*guest.Refusal](err); ok {
			o.settle(refused(pairs, refusal.Key), 0)
			continue
		}
		select {
		case <-time.After(setAgain):
		case <-ctx.Done():
		}
	}
}

// refused are the pairs that a refusal is about: all, when it names none of them.
func refused(pairs []guest.Pair, key string) []guest.Pair {
	i := slices.IndexFunc(pairs, func(p guest.Pair) bool { return p.Key == key })
	if i < 0 {
		return pairs
	}
	return pairs[i : i+1]
}
