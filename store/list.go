package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Paging asks for a list in pages.
type Paging struct {
	Limit    int    // most items of a page; 0 for all
	Continue string // what the page before said; empty for the first
}

// Page is a part of a list.
type Page[T any] struct {
	Items    []*T
	Revision uint64 // of the list: the same on all its pages, whatever was written since
	Continue string // where the next page begins; empty on the last one
}

// ExecutorQuery says which executors a list has: those that all of it holds for.
type ExecutorQuery struct {
	Name        string               // exactly
	IDPrefix    string               // the id begins so
	Lookup      string               // the id begins so, or this is the name: what people type. The id itself comes first, then names, then beginnings
	Annotations []string             // key, with any value, or key=value
	Network     string               // an endpoint follows this container network
	Driver      string               // bound to this kind of VM
	Keep        func(*Executor) bool // asked when the first page is made, for the whole list
	Keeps       string               // what Keep keeps, in a word: later pages are asked for with the same
	Paging
}

// NetworkQuery says which container networks a list has.
type NetworkQuery struct {
	Lookup      string   // the network's own id begins so, or this is the name
	Annotations []string // key, with any value, or key=value
	Paging
}

// ErrExpired: the pages of the list are not kept any more; begin again.
var ErrExpired = errors.New("the rest of the list is not kept any more")

// ErrContinue: what is asked to continue is no list, or one with other filters.
var ErrContinue = errors.New("that is not where a list with these filters goes on")

// ErrTooLong: the list has more than can be kept for later pages.
var ErrTooLong = errors.New("the list is too long to be kept for more pages: narrow it, or ask for all of it")

// ListExecutors gives executors by id. All pages of a list show it as it stood at the first one's revision; they are kept for a
// while after that, see Options. The next page must be asked for with the same filters; its limit may be another.
// Errors: ErrExpired, ErrContinue, ErrTooLong.
func (s *Store) ListExecutors(ctx context.Context, q ExecutorQuery) (*Page[Executor], error) {
	return list(ctx, s, q.Paging, q.filters(), source[Executor]{
		records: q.candidates,
		read:    (*txn).executor,
		holds:   q.holds,
		all:     q.everything(),
	})
}

// ListNetworks gives container networks by name, as ListExecutors gives executors.
func (s *Store) ListNetworks(ctx context.Context, q NetworkQuery) (*Page[Network], error) {
	return list(ctx, s, q.Paging, fmt.Sprintf("networks %q %q", q.Lookup, q.Annotations), source[Network]{
		records: func(snap Snapshot) iter.Seq2[KV, error] { return snap.Range(networkKey("")) },
		read:    func(t *txn, kv KV) (*Network, error) { return network(t.records, kv) },
		holds: func(n *Network) bool {
			return (n.Config.Name == q.Lookup || strings.HasPrefix(n.Config.ID, q.Lookup)) && annotated(n.Annotations, q.Annotations)
		},
	})
}

// source is what a list is made of.
type source[T any] struct {
	records func(Snapshot) iter.Seq2[KV, error] // those that may be in it, in order
	read    func(t *txn, kv KV) (*T, error)     // makes an item of a record
	holds   func(*T) bool                       // whether it is in it
	all     bool                                // holds is true for all
}

func list[T any](ctx context.Context, s *Store, p Paging, filters string, src source[T]) (*Page[T], error) {
	if p.Continue != "" {
		return nextPage(ctx, s, p, filters, src.read)
	}
	if p.Limit == 0 {
		page := &Page[T]{}
		return page, s.engine.View(ctx, func(snap Snapshot) error {
			_, err := src.collect(s, snap, page, 0)
			return err
		})
	}
	page, rest := &Page[T]{}, &listing{filters: filters}
	var items []string
	err := s.viewList(ctx, rest, func(snap Snapshot) (err error) {
		items, err = src.collect(s, snap, page, p.Limit)
		return err
	})
	if err == nil && len(items) > 0 {
		page.Continue, err = s.listings.keep(rest, items, s.now())
	}
	if page.Continue == "" {
		s.listings.end(rest)
	}
	return page, err
}

// collect puts items into a page until it has as many as the limit says; 0 is no limit. The others are given by their keys.
func (src source[T]) collect(s *Store, snap Snapshot, page *Page[T], limit int) (rest []string, err error) {
	page.Revision = snap.Revision()
	t := s.newTxn(snap)
	for kv, err := range src.records(snap) {
		if err != nil {
			return nil, err
		}
		full := limit > 0 && len(page.Items) == limit
		if !full || !src.all {
			item, err := src.read(t, kv)
			if err != nil {
				return nil, err
			}
			if !src.holds(item) {
				continue
			}
			if !full {
				page.Items = append(page.Items, item)
				continue
			}
		}
		rest = append(rest, kv.Key)
	}
	return rest, nil
}

// nextPage makes a page of what a list has more.
func nextPage[T any](ctx context.Context, s *Store, p Paging, filters string, read func(*txn, KV) (*T, error)) (*Page[T], error) {
	l, from, err := s.listings.at(p.Continue, s.now())
	if err != nil {
		return nil, err
	}
	if l.filters != filters {
		return nil, ErrContinue
	}
	to := len(l.items)
	if p.Limit > 0 {
		to = min(to, from+p.Limit)
	}
	page := &Page[T]{Revision: l.revision}
	err = s.engine.View(ctx, func(snap Snapshot) error {
		t := s.newTxn(past{snap, s.listings, l})
		for _, key := range l.items[from:to] {
			kv, _, err := t.snap.Get(key)
			if err != nil {
				return err
			}
			item, err := read(t, kv)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, item)
		}
		return nil
	})
	if !s.listings.live(l) { // it was dropped meanwhile, and what was written over since is not known
		return nil, ErrExpired
	}
	if to < len(l.items) {
		page.Continue = l.place(to)
	}
	return page, err
}

// filters is equal for equal queries.
func (q *ExecutorQuery) filters() string {
	return fmt.Sprintf("executors %q", []any{q.Name, q.IDPrefix, q.Lookup, q.Annotations, q.Network, q.Driver, q.Keeps})
}

// everything reports whether all candidates are in the list.
func (q *ExecutorQuery) everything() bool {
	return q.Name == "" && q.Lookup == "" && q.Network == "" && q.Driver == "" && len(q.Annotations) == 0 && q.Keep == nil
}

func (q *ExecutorQuery) holds(e *Executor) bool {
	c := e.Config
	switch {
	case q.Name != "" && c.Name != q.Name,
		!strings.HasPrefix(c.ID, q.IDPrefix),
		!strings.HasPrefix(c.ID, q.Lookup) && c.Name != q.Lookup,
		q.Driver != "" && (e.Binding == nil || e.Binding.Driver != q.Driver),
		!annotated(c.Annotations, q.Annotations):
		return false
	}
	if _, follows := e.follows[q.Network]; q.Network != "" && !follows {
		return false
	}
	return q.Keep == nil || q.Keep(e)
}

// annotated reports whether annotations have all that is asked for: key or key=value.
func annotated(annotations map[string]string, filters []string) bool {
	for _, f := range filters {
		key, want, valued := strings.Cut(f, "=")
		if value, ok := annotations[key]; !ok || valued && value != want {
			return false
		}
	}
	return true
}

// candidates gives the records among which those of a query are, by what finds the fewest.
func (q *ExecutorQuery) candidates(snap Snapshot) iter.Seq2[KV, error] {
	switch {
	case q.Name != "":
		return records(snap, "", namesKey(q.Name))
	case q.Lookup != "":
		return records(snap, q.Lookup, namesKey(q.Lookup), executorKey(q.Lookup))
	case q.Network != "":
		return records(snap, "", followersKey(q.Network))
	}
	return snap.Range(executorKey(q.IDPrefix))
}

// records gives the records of the executors that are found below prefixes, in order, but the one with an id before all others.
func records(snap Snapshot, first string, prefixes ...string) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		ids, err := executorsBelow(snap, prefixes...)
		if err != nil {
			yield(KV{}, err)
			return
		}
		if i := slices.Index(ids, first); i > 0 {
			ids = slices.Insert(slices.Delete(ids, i, i+1), 0, first)
		}
		for _, id := range ids {
			kv, found, err := snap.Get(executorKey(id))
			if err == nil && !found {
				err = notFound("executor", id)
			}
			if !yield(kv, err) || err != nil {
				return
			}
		}
	}
}
