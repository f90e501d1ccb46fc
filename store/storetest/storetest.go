// Package storetest is the conformance suite of store engines: an engine that passes it can carry the store.
// Only the tests of engines import it.
package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// History is how many commits the engines under test must let a watch go back, and no more.
const History = 500

// Run runs the suite. open opens the engine whose data is in dir, which may have been open before. The suite closes
// each engine; what open leaves to t.Cleanup runs after that.
func Run(t *testing.T, open func(t testing.TB, dir string) store.Engine) {
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
		{"ACanceledCommitWritesNothing", aCanceledCommitWritesNothing},
		{"WatchSeesEachCommitOnce", watchSeesEachCommitOnce},
		{"ASlowReaderDelaysNobody", aSlowReaderDelaysNobody},
		{"WatchEnds", watchEnds},
		{"WatchRefusesWhatItCannotGive", watchRefusesWhatItCannotGive},
		{"AReaderLeftBehindIsTold", aReaderLeftBehindIsTold},
		{"ReopeningKeepsEverything", reopeningKeepsEverything},
		{"ClosedIsClosed", closedIsClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, dir: t.TempDir(), open: open}
			s.reopen()
			c.test(t, s)
		})
	}
}

type suite struct {
	*testing.T
	store.Engine
	dir  string
	open func(t testing.TB, dir string) store.Engine
}

func (s *suite) reopen() {
	s.Helper()
	if s.Engine != nil {
		if err := s.Close(); err != nil {
			s.Fatal(err)
		}
	}
	e := s.open(s.T, s.dir)
	s.Cleanup(func() {
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
