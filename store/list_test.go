package store_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// many makes executors e00, e01, ..., each bound and following a network.
func (f *fixture) many(n int) {
	f.Helper()
	f.network("net", nil)
	for i := range n {
		id := fmt.Sprintf("e%02d", i)
		_, err := f.CreateExecutor(f.Context(), &executor.ExecutorConfig{
			Common:   executor.Common{ID: id, Name: id + "-name"},
			Networks: map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "net"}},
		}, &store.Binding{Driver: "vsphere", Ref: "vm-" + id})
		f.must(err)
	}
}

// pages reads a list to its end, and lets others write between the pages.
func (f *fixture) pages(q store.ExecutorQuery, between func()) (all []*store.Executor, pages int) {
	f.Helper()
	var revision uint64
	for {
		page, err := f.ListExecutors(f.Context(), q)
		f.must(err)
		if pages++; pages == 1 {
			revision = page.Revision
		}
		if page.Revision != revision || len(page.Items) == 0 && pages > 1 || q.Limit > 0 && len(page.Items) > q.Limit {
			f.Errorf("page %d has %d items at %d, the first one was at %d", pages, len(page.Items), page.Revision, revision)
		}
		all = append(all, page.Items...)
		if q.Continue = page.Continue; q.Continue == "" {
			return all, pages
		}
		between()
	}
}

func idsOf(list []*store.Executor) (ids []string) {
	for _, e := range list {
		ids = append(ids, e.Config.ID)
	}
	return ids
}

// TestAllPagesAreOfOneRevision: whatever is written while they are read.
func TestAllPagesAreOfOneRevision(t *testing.T) {
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) { allPagesAreOfOneRevision(t, open) })
	}
}

func allPagesAreOfOneRevision(t *testing.T, open func(*testing.T) *fixture) {
	for name, q := range map[string]store.ExecutorQuery{
		"all":      {},
		"filtered": {Network: "net", Driver: "vsphere", Keep: func(e *store.Executor) bool { return e.Config.ID != "e03" }},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.many(9)
			want, _ := f.pages(q, nil)
			if got := 9 - len(want); q.Keep != nil && got != 1 || q.Keep == nil && got != 0 {
				t.Fatalf("the list has %q", idsOf(want))
			}
			writes := []func(){
				func() { f.must(f.DeleteExecutor(t.Context(), "e08")) },
				func() {
					f.create(&executor.ExecutorConfig{Common: executor.Common{ID: "e055"}})
					f.put("e07", func(c *executor.ExecutorConfig) { c.Networks = nil })
				},
				func() {
					f.must(f.Unbind(t.Context(), "e06"))
					_, _, err := f.PutNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = "moved" })})
					f.must(err)
				},
			}
			q.Limit = 2
			got, pages := f.pages(q, func() {
				if len(writes) > 0 {
					writes[0]()
					writes = writes[1:]
				}
			})
			if pages != (len(want)+1)/2 || !reflect.DeepEqual(got, want) {
				t.Errorf("%d pages of %q, want %q as they were", pages, idsOf(got), idsOf(want))
			}
		})
	}
}

func TestPagesThatFit(t *testing.T) {
	f := open(t)
	if page, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 1}}); err != nil || len(page.Items) != 0 || page.Continue != "" {
		t.Errorf("of nothing: %+v %v", page, err)
	}
	f.plain("a", "b", "c", "d")
	for limit, want := range map[int]int{0: 1, 1: 4, 2: 2, 3: 2, 4: 1, 5: 1} {
		all, pages := f.pages(store.ExecutorQuery{Paging: store.Paging{Limit: limit}}, func() {})
		if pages != want || !slices.Equal(idsOf(all), []string{"a", "b", "c", "d"}) {
			t.Errorf("with a limit of %d: %q in %d pages", limit, idsOf(all), pages)
		}
	}

	// A page may be asked for again, and with another limit.
	first, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 1}})
	f.must(err)
	for limit, want := range map[int]string{1: "[b]", 2: "[b c]", 0: "[b c d]", 9: "[b c d]"} {
		page, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: limit, Continue: first.Continue}})
		f.must(err)
		if got := fmt.Sprint(idsOf(page.Items)); got != want || (page.Continue == "") != (want == "[b c d]") {
			t.Errorf("with a limit of %d: %s, then %q", limit, got, page.Continue)
		}
	}
}

func TestFilters(t *testing.T) {
	f := open(t)
	f.network("net", nil)
	f.network("net2", nil)
	follow := func(ref string) map[string]*executor.NetworkEndpoint {
		return map[string]*executor.NetworkEndpoint{"x": {NetworkRef: ref}, "y": {NetworkRef: ref}, "own": {Network: executor.ContainerNetwork{Common: executor.Common{Name: "net2"}}}}
	}
	for _, c := range []*executor.ExecutorConfig{
		{Common: executor.Common{ID: "a1", Name: "web"}, Annotations: map[string]string{"team": "red", "tier": "1=2"}, Networks: follow("net")},
		{Common: executor.Common{ID: "a1.b", Name: "web"}, Annotations: map[string]string{"team": "blue"}, Networks: follow("net")},
		{Common: executor.Common{ID: "a2", Name: "a1"}, Annotations: map[string]string{"team": ""}, Networks: follow("net2")},
		{Common: executor.Common{ID: "b1"}},
	} {
		f.create(c)
	}
	f.bind("a1", store.Binding{Driver: "vsphere", Ref: "vm1"})
	f.bind("b1", store.Binding{Driver: "qemu", Ref: "vm1"})
	for _, c := range []struct {
		q    store.ExecutorQuery
		want string
	}{
		{store.ExecutorQuery{}, "a1 a1.b a2 b1"},
		{store.ExecutorQuery{Name: "web"}, "a1 a1.b"},
		{store.ExecutorQuery{Name: "WEB"}, ""},
		{store.ExecutorQuery{Name: "we"}, ""},
		{store.ExecutorQuery{IDPrefix: "a1"}, "a1 a1.b"},
		{store.ExecutorQuery{IDPrefix: "a1/"}, ""},
		{store.ExecutorQuery{Name: "web", IDPrefix: "a1."}, "a1.b"},
		{store.ExecutorQuery{Lookup: "a1"}, "a1 a2 a1.b"}, // the id, a name, the beginning of one
		{store.ExecutorQuery{Lookup: "web"}, "a1 a1.b"},
		{store.ExecutorQuery{Lookup: "b"}, "b1"},
		{store.ExecutorQuery{Lookup: "a", Driver: "vsphere"}, "a1"},
		{store.ExecutorQuery{Annotations: []string{"team"}}, "a1 a1.b a2"},
		{store.ExecutorQuery{Annotations: []string{"team="}}, "a2"},
		{store.ExecutorQuery{Annotations: []string{"team=red"}}, "a1"},
		{store.ExecutorQuery{Annotations: []string{"tier=1=2"}}, "a1"},
		{store.ExecutorQuery{Annotations: []string{"team", "tier"}}, "a1"},
		{store.ExecutorQuery{Annotations: []string{"team=red", "team=blue"}}, ""},
		{store.ExecutorQuery{Network: "net"}, "a1 a1.b"},
		{store.ExecutorQuery{Network: "net2"}, "a2"},
		{store.ExecutorQuery{Network: "net", Name: "a1"}, ""},
		{store.ExecutorQuery{Network: "none"}, ""},
		{store.ExecutorQuery{Driver: "qemu"}, "b1"},
		{store.ExecutorQuery{Driver: "vsphere", Annotations: []string{"team=blue"}}, ""},
		{store.ExecutorQuery{Keep: func(e *store.Executor) bool { return e.Binding == nil }}, "a1.b a2"},
	} {
		for _, limit := range []int{0, 1} {
			c.q.Limit = limit
			all, _ := f.pages(c.q, func() {})
			if got := strings.Join(idsOf(all), " "); got != c.want {
				t.Errorf("%s with a limit of %d: %q, want %q", fmt.Sprintf("%+v", c.q), limit, got, c.want)
			}
		}
	}
}

func TestListsOfNetworks(t *testing.T) {
	f := open(t)
	for _, name := range []string{"c", "a", "b", "d"} {
		_, err := f.CreateNetwork(t.Context(), store.Network{Config: bridge(name, nil), Annotations: map[string]string{"name": name, "of": "us"}})
		f.must(err)
	}
	q := store.NetworkQuery{Annotations: []string{"of=us"}, Paging: store.Paging{Limit: 2}}
	first, err := f.ListNetworks(t.Context(), q)
	f.must(err)
	f.must(f.DeleteNetwork(t.Context(), "c"))
	q.Continue = first.Continue
	second, err := f.ListNetworks(t.Context(), q)
	f.must(err)
	var names []string
	for _, n := range append(first.Items, second.Items...) {
		names = append(names, n.Config.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c", "d"}) || second.Revision != 4 || second.Continue != "" {
		t.Errorf("networks %q at %d, then %q", names, second.Revision, second.Continue)
	}
	one, err := f.ListNetworks(t.Context(), store.NetworkQuery{Annotations: []string{"name=b"}})
	if err != nil || len(one.Items) != 1 || one.Items[0].Config.Name != "b" {
		t.Errorf("by annotation: %+v %v", one, err)
	}
}

func TestWhatIsNoPlaceToContinue(t *testing.T) {
	f := open(t)
	f.plain("a", "b", "c")
	q := store.ExecutorQuery{IDPrefix: "", Driver: "", Paging: store.Paging{Limit: 1}}
	first, err := f.ListExecutors(t.Context(), q)
	f.must(err)
	id, _, _ := strings.Cut(first.Continue, ".")
	for place, want := range map[string]error{
		"x": store.ErrContinue, ".": store.ErrContinue, id: store.ErrContinue, id + ".x": store.ErrContinue, id + ".-1": store.ErrContinue,
		id + ".2": store.ErrContinue, strings.Repeat("0", 32) + ".0": store.ErrExpired, id + ".1": nil, first.Continue: nil,
	} {
		q.Continue = place
		if _, err := f.ListExecutors(t.Context(), q); (want == nil) != (err == nil) || want != nil && !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("at %q: %v, want %v", place, err, want)
		}
	}
	q.Continue, q.Name = first.Continue, "other"
	_, err = f.ListExecutors(t.Context(), q)
	f.mustFail(err, store.ErrContinue)
	_, err = f.ListNetworks(t.Context(), store.NetworkQuery{Paging: q.Paging})
	f.mustFail(err, store.ErrContinue)
	f.reopen()
	q.Name = ""
	_, err = f.ListExecutors(t.Context(), q)
	f.mustFail(err, store.ErrExpired)
}

// TestListsAreNotKeptForever: one that nobody goes on with is dropped, and the least used one when there is no room.
func TestListsAreNotKeptForever(t *testing.T) {
	f := open(t)
	now := time.Now()
	f.options = store.Options{Now: func() time.Time { return now }, ListMemory: 5000, ListIdle: time.Minute}
	f.reopen()
	for _, id := range []string{"a", "b", "c"} {
		f.create(&executor.ExecutorConfig{Common: executor.Common{ID: id, Notes: strings.Repeat("x", 3000)}})
	}
	first := func() string {
		t.Helper()
		page, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 1}})
		f.must(err)
		return page.Continue
	}
	next := func(place string) error {
		_, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 1, Continue: place}})
		return err
	}
	wait := func(d time.Duration) { now = now.Add(d) }

	a := first()
	for range 3 { // whoever goes on is not cut off
		wait(50 * time.Second)
		f.must(next(a))
	}
	wait(61 * time.Second)
	f.mustFail(next(a), store.ErrExpired)

	a = first()
	wait(time.Second)
	b := first()
	wait(time.Second)
	f.must(next(a))
	f.put("c", func(c *executor.ExecutorConfig) { c.Notes = "" }) // both note the 3 KB that were there: there is room for one
	f.mustFail(next(b), store.ErrExpired)
	f.must(next(a))
	c := first()
	f.put("c", func(c *executor.ExecutorConfig) { c.Notes = "changed" })
	f.must(next(a)) // it has noted this one already
	f.must(next(c))

	for i := range 40 {
		f.plain(fmt.Sprint("d", i))
	}
	_, err := f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 1}})
	f.mustFail(err, store.ErrTooLong)
	f.must(next(a)) // what is kept stays
	_, err = f.ListExecutors(t.Context(), store.ExecutorQuery{Paging: store.Paging{Limit: 42}})
	f.must(err)
	_, err = f.ListExecutors(t.Context(), store.ExecutorQuery{})
	f.must(err)
}
