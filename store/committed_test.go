package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// TestCommitted: whoever is told of commits is told of each once, in the context of who made it, with the event that the feed has and the revision before.
func TestCommitted(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			type key struct{}
			var told []string
			var events []store.Event
			f.options.Committed = func(ctx context.Context, e store.Event, before uint64) {
				told = append(told, fmt.Sprintf("%v: %s %s %s %q %d %d", ctx.Value(key{}), e.Kind, e.ID, e.Action, e.Fields, before, e.Revision))
				events = append(events, e)
			}
			f.reopen()
			ctx := context.WithValue(store.WithActor(t.Context(), "alice"), key{}, "hers")
			_, err := f.CreateExecutor(ctx, f.web("web"), nil)
			f.must(err)
			f.network("net", nil)
			f.race = func() { f.put("web", func(c *executor.ExecutorConfig) { c.Notes = "quicker" }) }
			f.put("web", func(c *executor.ExecutorConfig) { c.Hostname = "later" })
			f.put("web", func(*executor.ExecutorConfig) {}) // changes nothing
			if _, err := f.CreateExecutor(ctx, f.web("web"), nil); err == nil {
				t.Error("it was created twice")
			}
			_, _, err = f.Bind(t.Context(), "web", store.Binding{Driver: "vsphere", Ref: "vm1"})
			f.must(err)
			f.must(f.Note(t.Context(), store.Event{Kind: store.KindVM, ID: "none", Action: store.ActionPower}))
			f.must(f.DeleteExecutor(t.Context(), "web"))
			want := []string{
				`hers: executor web create [] 0 1`, `<nil>: network net create [] 0 2`, `<nil>: executor web update ["notes"] 1 3`, `<nil>: executor web update ["hostname" "notes"] 3 4`,
				`<nil>: vm web bind [] 0 5`, `<nil>: vm none power [] 0 6`, `<nil>: executor web delete [] 4 7`,
			}
			if !slices.Equal(told, want) {
				t.Errorf("told was\n%q\nwant\n%q", told, want)
			}
			feed := f.events(0)
			if len(feed) != len(events) {
				t.Fatalf("the feed has %d events", len(feed))
			}
			for i, e := range feed {
				if fmt.Sprint(e) != fmt.Sprint(events[i]) {
					t.Errorf("the feed has %+v, told was %+v", e, events[i])
				}
			}
		})
	}
}
