// Package storetest is the conformance suite of store engines: an engine that passes it can carry the store. It also has what must
// hold of any store at the end of any test: see Sound. Only tests import it.
package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// history is how many commits a watch can go back, where a case does not say otherwise.
const history = 500

// Open opens the engine whose data is in dir, which may have been open before, with a history of that length and no longer.
// Whoever calls it closes the engine; what it leaves to t.Cleanup runs after that.
type Open func(t testing.TB, dir string, h store.History) store.Engine

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s *suite)
	}{
		{"RevisionsCountCommits", revisionsCountCommits},
		{"ReadsWhatWasWritten", readsWhatWasWritten},
		{"RangeIsInOrder", rangeIsInOrder},
		{"CompareAndSet", compareAndSet},
		{"ComparePrefix", comparePrefix},
		{"ConflictWritesNothing", conflictWritesNothing},
		{"SnapshotsStand", snapshotsStand},
		{"ValuesAreCopies", valuesAreCopies},
		{"OneOfManyWins", oneOfManyWins},
		{"ReadersSeeOneRevision", readersSeeOneRevision},
		{"EachWriterHasItsOwnOutcome", eachWriterHasItsOwnOutcome},
		{"ACanceledCommitWritesNothing", aCanceledCommitWritesNothing},
		{"WatchSeesEachCommitOnce", watchSeesEachCommitOnce},
		{"ASlowReaderDelaysNobody", aSlowReaderDelaysNobody},
		{"WatchEnds", watchEnds},
		{"AReaderLeftBehindIsTold", aReaderLeftBehindIsTold},
		{"HistoryByCommits", historyByCommits},
		{"HistoryByAge", historyByAge},
		{"HistoryByBytes", historyByBytes},
		{"RewritingIsNoChange", rewritingIsNoChange},
		{"RewritingMayFail", rewritingMayFail},
		{"ReopeningKeepsEverything", reopeningKeepsEverything},
		{"ClosedIsClosed", closedIsClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, begin(t, open, store.History{Commits: history}))
		})
	}
}

type suite struct {
	*testing.T
	store.Engine
	dir     string
	open    Open
	history store.History
}

func begin(t *testing.T, open Open, h store.History) *suite {
	t.Helper()
	s := &suite{T: t, dir: t.TempDir(), open: open, history: h}
	s.reopen()
	return s
}

func (s *suite) reopen() {
	s.Helper()
	if s.Engine != nil {
		if err := s.Close(); err != nil {
			s.Fatal(err)
		}
	}
	e := s.open(s.T, s.dir, s.history)
	s.Cleanup(func() {
		sound(s.T, e)
		if err := e.Close(); err != nil {
			s.Error(err)
		}
	})
	s.Engine = e
}

func (s *suite) commit(t store.Txn) uint64 {
	s.Helper()
	revision, err := s.Commit(s.Context(), t)
	if err != nil {
		s.Fatal(err)
	}
	return revision
}

func (s *suite) put(key, value string) uint64 {
	s.Helper()
	return s.commit(store.Txn{Ops: []store.Op{{Key: key, Value: []byte(value)}}, Event: []byte(key + "=" + value)})
}

// dump gives everything below a prefix, as key=value@revision.
func (s *suite) dump(prefix string) (all []string, revision uint64) {
	s.Helper()
	err := s.View(s.Context(), func(snap store.Snapshot) error {
		revision = snap.Revision()
		all = nil
		for kv, err := range snap.Range(prefix) {
			if err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s=%s@%d", kv.Key, kv.Value, kv.Revision))
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return all, revision
}

func (s *suite) expect(prefix string, want ...string) {
	s.Helper()
	if got, _ := s.dump(prefix); !slices.Equal(got, want) {
		s.Errorf("below %q: %v, want %v", prefix, got, want)
	}
}
