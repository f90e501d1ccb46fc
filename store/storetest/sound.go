package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// Sound holds an engine that carries a typed store against what must always be so: its own check of its data finds nothing, the feed has
// no gap and ends at the store's revision, each key was last written by a commit whose event is about it, and replaying the feed
// gives the executors and container networks that are there. It is for the end of tests, while nobody writes; an engine that is closed is left alone.
func Sound(t testing.TB, e store.Engine) {
	t.Helper()
	f := sound(t, e)
	if f == nil {
		return
	}
	owners := map[string]bool{} // kind/id, as replaying the feed has them
	for i, text := range f.events {
		var event store.Event
		if err := json.Unmarshal(text, &event); err != nil {
			t.Errorf("event %d: %v", f.after+uint64(i)+1, err)
			return
		}
		f.ids = append(f.ids, event.ID)
		switch name := event.Kind + "/" + event.ID; event.Action {
		case store.ActionCreate:
			owners[name] = true
		case store.ActionDelete:
			delete(owners, name)
		}
	}
	there := map[string]bool{}
	for key, kv := range f.keys {
		if kind, _, _ := strings.Cut(key, "/"); kind == store.KindExecutor || kind == store.KindNetwork {
			there[key] = true
		}
		if kv.Revision > f.after && !f.names(kv) {
			t.Errorf("%s was last written at %d, whose event is about %q", key, kv.Revision, f.ids[kv.Revision-f.after-1])
		}
	}
	if f.after == 0 && !maps.Equal(owners, there) {
		t.Errorf("the feed ends with %q, and the store has %q", slices.Sorted(maps.Keys(owners)), slices.Sorted(maps.Keys(there)))
	}
}

// feed is what an engine has: its keys, and the events after a revision.
type feed struct {
	keys   map[string]store.KV
	after  uint64
	events [][]byte
	ids    []string // that the events are about
}

// sound checks what needs no knowledge of what the bytes mean; nil when the engine is closed.
func sound(t testing.TB, e store.Engine) *feed {
	t.Helper()
	ctx := context.Background()
	f := &feed{keys: map[string]store.KV{}}
	var last uint64
	err := e.View(ctx, func(snap store.Snapshot) error {
		last = snap.Revision()
		for kv, err := range snap.Range("") {
			if err != nil {
				return err
			}
			if kv.Revision == 0 || kv.Revision > last {
				t.Errorf("%s was written at %d, and the store is at %d", kv.Key, kv.Revision, last)
			}
			kv.Value = slices.Clone(kv.Value)
			f.keys[kv.Key] = kv
		}
		return nil
	})
	if errors.Is(err, store.ErrClosed) {
		return nil
	}
	if err == nil {
		f.after, err = oldest(ctx, e, last)
	}
	if c, ok := e.(interface{ Check() error }); ok && err == nil {
		err = c.Check()
	}
	if err != nil {
		t.Errorf("the store is not sound: %v", err)
		return nil
	}
	if f.after == last {
		return f
	}
	for c, err := range e.Watch(ctx, f.after) {
		if want := f.after + uint64(len(f.events)) + 1; err != nil || c.Revision != want {
			t.Errorf("the feed has revision %d where %d should be: %v", c.Revision, want, err)
			return nil
		}
		f.events = append(f.events, c.Event)
		if c.Revision == last {
			break
		}
	}
	return f
}

// names reports whether the commit that last wrote a key is about what the key belongs to.
func (f *feed) names(kv store.KV) bool {
	id := f.ids[kv.Revision-f.after-1]
	kind, rest, _ := strings.Cut(kv.Key, "/")
	switch kind {
	case "executor", "network", "vm", "boots", "earlier":
		return rest == id
	case "unbinding", "cleaned": // it says so inside, sealed
		return true
	}
	owner, _, _ := strings.Cut(string(kv.Value), "/")
	return owner == id
}
