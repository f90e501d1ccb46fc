package store

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// Tag tells two states of a resource apart: it is what an ETag is made of.
type Tag struct {
	ConfigRevision uint64 // of the last change of what clients own
	Revision       uint64 // of the last change, the guest's reports included
}

// String gives both parts as an ETag has them, without its quotes.
func (t Tag) String() string { return fmt.Sprintf("%d-%d", t.ConfigRevision, t.Revision) }

// ParseTag reads what String gives; false when it is nothing that String gives.
func ParseTag(s string) (t Tag, ok bool) {
	config, revision, _ := strings.Cut(s, "-")
	var err, err2 error
	t.ConfigRevision, err = strconv.ParseUint(config, 10, 64)
	t.Revision, err2 = strconv.ParseUint(revision, 10, 64)
	if err != nil || err2 != nil || t.String() != s {
		return Tag{}, false
	}
	return t, true
}

// raised gives the larger of both parts and a revision.
func (t Tag) raised(revision uint64) Tag {
	return Tag{max(t.ConfigRevision, revision), max(t.Revision, revision)}
}

// Tag gives the executor's.
func (e *Executor) Tag() Tag { return Tag{e.ConfigRevision, e.Revision} }

// Tag gives the container network's: it has no reports.
func (n *Network) Tag() Tag { return Tag{n.Revision, n.Revision} }

// Tag gives the binding's: it has no reports.
func (b *Binding) Tag() Tag { return Tag{b.Revision, b.Revision} }

func (e *Executor) tagOf(entry string) (Tag, bool) {
	switch {
	case e == nil:
		return Tag{}, false
	case entry != "":
		return e.Entry(entry)
	}
	return e.Tag(), true
}

func (n *Network) tagOf(entry string) (Tag, bool) {
	if n == nil || entry != "" {
		return Tag{}, false
	}
	return n.Tag(), true
}

func (b *Binding) tagOf(entry string) (Tag, bool) {
	if b == nil || entry != "" {
		return Tag{}, false
	}
	return b.Tag(), true
}

// Entry gives the tag of an entry of one of the executor's maps, which is named by map and name, sessions/web. An endpoint
// changes when the container network does that it follows.
func (e *Executor) Entry(name string) (t Tag, ok bool) {
	r, ok := e.stored.Entries[name]
	if !ok {
		return Tag{}, false
	}
	t = Tag{or(r.ConfigRevision, e.at), or(r.Revision, e.at)}
	if endpoint, ok := strings.CutPrefix(name, "networks/"); ok {
		t = t.raised(e.follows[e.Config.Networks[endpoint].NetworkRef])
	}
	return t, true
}

// entriesOf gives the entries of an executor's maps by map and name.
func entriesOf(c *executor.ExecutorConfig) map[string]any {
	entries := map[string]any{}
	for id, s := range c.Sessions {
		entries["sessions/"+id] = s
	}
	for id, s := range c.Execs {
		entries["execs/"+id] = s
	}
	for name, m := range c.Mounts {
		entries["mounts/"+name] = m
	}
	for name, e := range c.Networks {
		entries["networks/"+name] = e
	}
	return entries
}

// entryRevisions carries over the revisions of the entries that stayed as they were; config is next with the old reports.
// When the executor is made, old is nil.
func entryRevisions(old *Executor, next, config *executor.ExecutorConfig) map[string]entryRevision {
	is := entriesOf(next)
	if len(is) == 0 {
		return nil
	}
	var was, configured map[string]any
	if old != nil {
		was, configured = entriesOf(old.stored.Config), entriesOf(config)
	}
	revisions := make(map[string]entryRevision, len(is))
	for name, entry := range is {
		var r entryRevision
		if before, ok := was[name]; ok {
			r = old.stored.Entries[name]
			r.Revision, r.ConfigRevision = or(r.Revision, old.at), or(r.ConfigRevision, old.at)
			if !reflect.DeepEqual(before, entry) {
				r.Revision = 0
			}
			if !reflect.DeepEqual(before, configured[name]) {
				r.ConfigRevision = 0
			}
		}
		revisions[name] = r
	}
	return revisions
}
