package store_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// TestDeliver: an exec gets one boot, for good; it is forgotten with the exec, and with the executor.
func TestDeliver(t *testing.T) {
	f := open(t)
	_, err := f.Deliver(t.Context(), "web", "boot1", []string{"e1"})
	f.mustFail(err, store.ErrNotFound)
	f.create(f.web("web"))
	before := f.get("web").Revision
	boots, err := f.Deliver(t.Context(), "web", "boot1", []string{"e1", "nobody"})
	f.must(err)
	if want := map[string]string{"e1": "boot1"}; !maps.Equal(boots, want) || !maps.Equal(f.get("web").Boots, want) {
		t.Errorf("boots %v", boots)
	}
	if e := f.event(f.revision() - 1); e.Kind != store.KindVM || e.ID != "web" || e.Action != store.ActionDeliver {
		t.Errorf("the event is %+v", e)
	}
	if f.get("web").Revision != before {
		t.Error("a delivery changed the executor")
	}
	f.still(func() {
		boots, err = f.Deliver(t.Context(), "web", "boot2", []string{"e1"})
		f.must(err)
	})
	if boots["e1"] != "boot1" {
		t.Errorf("boots %v", boots)
	}
	f.reopen()
	for _, drop := range []bool{true, false} {
		_, err = f.UpdateExecutor(t.Context(), "web", func(c *executor.ExecutorConfig) error {
			if c.Execs = nil; !drop {
				c.Execs = map[string]*executor.SessionConfig{"e1": {}}
			}
			return nil
		})
		f.must(err)
	}
	if boots := f.get("web").Boots; len(boots) != 0 {
		t.Errorf("an exec that was made anew has boots %v", boots)
	}
	_, err = f.Deliver(t.Context(), "web", "boot2", []string{"e1"})
	f.must(err)
	f.must(f.DeleteExecutor(t.Context(), "web"))
	if left := f.keys("boots/"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNote(t *testing.T) {
	f := open(t)
	f.must(f.Note(t.Context(), store.Event{Kind: store.KindVM, ID: "web", Name: "n", Action: store.ActionDrift, Fields: []string{"hostname"}}))
	if e := f.event(f.revision() - 1); e.ID != "web" || e.Name != "n" || e.Action != store.ActionDrift || !slices.Equal(e.Fields, []string{"hostname"}) || e.Time.IsZero() {
		t.Errorf("the event is %+v", e)
	}
}

// TestEarlier: what a field had is remembered, whether it was in the base, replaced or only offered, and beyond the binding.
func TestEarlier(t *testing.T) {
	f := open(t)
	f.plain("web")
	f.bound("web", "vm1", "i1")
	for _, digest := range []string{"a", "b", "a", "c"} {
		f.confirm("web", "i1", map[string]string{"createTime": digest, "sessions.gone.exitStatus": digest})
	}
	_, err := f.Offer(t.Context(), "web", "i1", nil, map[string]string{"createTime": "r"})
	f.must(err)
	b, err := f.Offer(t.Context(), "web", "i1", map[string]string{"createTime": "o"}, nil)
	f.must(err)
	if b.Offered["createTime"] != "o" || f.get("web").Binding.Offered["createTime"] != "o" {
		t.Errorf("offered %v", b.Offered)
	}
	f.confirm("web", "i1", map[string]string{"createTime": "d"})
	b = f.get("web").Binding
	if got := b.Earlier["createTime"]; !slices.Equal(got, []string{"b", "a", "r", "c", "o"}) || len(b.Earlier) != 1 || b.Offered != nil {
		t.Errorf("earlier %v, offered %v", b.Earlier, b.Offered)
	}
	f.must(f.Unbind(t.Context(), "web"))
	f.bound("web", "vm1", "i1")
	if got := f.get("web").Binding.Earlier["createTime"]; !slices.Equal(got, []string{"b", "a", "r", "c", "o", "d"}) {
		t.Errorf("after unbinding %v", got)
	}
	f.must(f.DeleteExecutor(t.Context(), "web"))
	if left := f.keys("earlier/"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
