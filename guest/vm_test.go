package guest_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/guest"
)

// machine is a VM whose keys are in memory. Its guest may set what has a dot behind guestinfo.vice, as in
// guestinfo.vice..status.
type machine struct {
	mu       sync.Mutex
	revision uint64
	keys     map[string]string // as they travel
	boots    []string          // of each hello
	sets     [][]guest.Pair    // that were stored
	fail     error             // what Set and Hello answer when it is not nil
	settling chan struct{}     // what Hello waits for when it is not nil
	key      executor.Secret
}

func newMachine(pairs ...string) *machine {
	m := &machine{revision: 1, keys: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		m.keys[pairs[i]] = pairs[i+1]
	}
	return m
}

const (
	status = "guestinfo.vice..sessions|web.status"
	name   = "guestinfo.vice./common/name"
)

func (m *machine) Hello(ctx context.Context, h guest.Hello) (guest.Welcome, error) {
	m.mu.Lock()
	m.boots = append(m.boots, h.Boot)
	fail, settling, w := m.fail, m.settling, guest.Welcome{Executor: "e1", Revision: m.revision, Key: m.key}
	m.mu.Unlock()
	if settling != nil {
		select {
		case <-settling:
		case <-ctx.Done():
			return guest.Welcome{}, ctx.Err()
		}
	}
	return w, fail
}

func (m *machine) Snapshot(context.Context) (guest.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := guest.Snapshot{Revision: m.revision}
	for k, v := range m.keys {
		s.Keys = append(s.Keys, guest.Pair{Key: k, Value: v})
	}
	slices.SortFunc(s.Keys, func(a, b guest.Pair) int { return strings.Compare(a.Key, b.Key) })
	return s, nil
}

func (m *machine) Set(_ context.Context, keys []guest.Pair) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	for _, p := range keys {
		switch {
		case !strings.HasPrefix(p.Key, "guestinfo.vice.."):
			return 0, &guest.Refusal{Key: p.Key, Reason: "is not for the guest to set"}
		case strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }):
			return 0, &guest.Refusal{Key: p.Key, Reason: "has a character that cannot travel"}
		}
	}
	for _, p := range keys {
		m.keys[p.Key] = p.Value
	}
	m.revision++
	m.sets = append(m.sets, slices.Clone(keys))
	return m.revision, nil
}

// put is the control plane's change.
func (m *machine) put(pairs ...string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i < len(pairs); i += 2 {
		m.keys[pairs[i]] = pairs[i+1]
	}
	m.revision++
	return m.revision
}

func (m *machine) value(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[key]
}

func (m *machine) stored() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sets)
}

func (slow) Set(ctx context.Context, _ []guest.Pair) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}
