package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// Info is what Verify learns of a store.
type Info struct {
	Format   int
	Revision uint64
	Keys     int
	Commits  int   // in the log
	Size     int64 // of what is in use, in bytes
}

// Older reports whether the store has an older format than this program writes. What it holds is not sealed.
func (i Info) Older() bool { return i.Format < format }

var errNotOurs = errors.New("the file is not a store of this program")

// Verify reads the whole of a file that nobody writes to, and tells whether it is a store that this program wrote and can open, with
// every byte that counts as it was written. It changes nothing. Errors: store.ErrDamaged, store.ErrFormat, and those of reading.
func Verify(path string) (Info, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	size, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	return verifyFile(f, size.Size())
}

// Read shows what a file holds that Verify found to be a store of the newest format. It changes nothing.
func Read(path string, fn func(store.Snapshot) error) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		state, err := stateOf(tx)
		if err != nil {
			return err
		}
		return fn(snapshot{keys: tx.Bucket(keysBucket), revision: state.revision})
	})
	return errors.Join(err, db.Close())
}

func verifyFile(f io.ReaderAt, size int64) (Info, error) {
	p, err := readPages(f, size)
	if err != nil {
		return Info{}, err
	}
	buckets := map[string][]byte{}
	err = p.walk(p.root, nil, nil, 0, func(e element) error {
		if !e.bucket {
			return errNotOurs
		}
		buckets[string(e.key)] = e.value
		return nil
	})
	if err != nil {
		return Info{}, err
	}
	return verify(p, buckets)
}

// verify reads the buckets of a store.
func verify(p *pages, buckets map[string][]byte) (Info, error) {
	info := Info{Size: int64(p.end) * p.size} //nolint:gosec // no more than the size of the file
	meta := map[string][]byte{}
	for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
		if buckets[string(name)] == nil {
			return info, errNotOurs
		}
	}
	err := p.bucket(buckets[string(metaBucket)], func(e element) error {
		meta[string(e.key)] = e.value
		return nil
	})
	if err != nil {
		return info, err
	}
	info.Format, err = strconv.Atoi(string(meta[string(formatKey)]))
	switch {
	case err != nil || info.Format < 1:
		return info, errNotOurs
	case info.Format > format:
		return info, fmt.Errorf("%w: it has format %d, and this one knows %d", store.ErrFormat, info.Format, format)
	}
	v := &verifier{old: info.Format < format, meta: meta}
	if err := p.bucket(buckets[string(logBucket)], v.entry); err != nil {
		return info, err
	}
	if err := p.bucket(buckets[string(keysBucket)], v.key); err != nil {
		return info, err
	}
	err = v.end()
	info.Revision, info.Keys, info.Commits = v.revision, v.keys, v.commits
	return info, err
}

// verifier adds up what is in a store. One of format 1 has no checksums: there only the order and the revisions can be looked at.
type verifier struct {
	old      bool
	meta     map[string][]byte
	revision uint64 // of the last entry of the log, later of the store
	highest  uint64 // revision of a key
	sum      uint64
	total    int64
	keys     int
	commits  int
}

func (v *verifier) entry(e element) error {
	revision := numberOf(e.key)
	if e.bucket || len(e.key) != 8 || v.commits > 0 && revision != v.revision+1 {
		return damaged("its log has a gap after revision %d", v.revision)
	}
	v.revision, v.commits = revision, v.commits+1
	if v.old {
		return nil
	}
	l, err := decodeEntry(e.key, e.value)
	if err == nil && v.commits > 1 && l.total != v.total+entrySize(l.event) {
		err = damaged("its log does not add up at revision %d", revision)
	}
	v.total = l.total
	return err
}

func (v *verifier) key(e element) error {
	v.keys++
	if e.bucket || len(e.value) < 8 {
		return damaged("what is stored for a key is too short")
	}
	v.highest = max(v.highest, numberOf(e.value))
	if v.old {
		return nil
	}
	_, _, err := unframe(e.key, e.value)
	v.sum += checksumOf(e.value)
	return err
}

// end holds the sums against what the store says of itself.
func (v *verifier) end() error {
	var s state
	if v.old {
		s = state{revision: numberOf(v.meta["revision"])}
	} else {
		var err error
		if s, err = decodeState(v.meta[string(stateKey)]); err != nil {
			return err
		}
		if s.sum != v.sum {
			return damaged("a key is missing, or is not what was last written")
		}
		if v.commits > 0 && s.total != v.total {
			return damaged("its log does not add up")
		}
	}
	if v.commits > 0 && v.revision != s.revision || v.highest > s.revision {
		return damaged("it is at revision %d, its log at %d and its keys at %d", s.revision, v.revision, v.highest)
	}
	v.revision = s.revision
	return nil
}

// numberOf reads a revision as it is stored; 0 when there is none.
func numberOf(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Check reads the store as it stands, with bbolt's own check and with Verify's, while nobody writes. It is for tests, and takes as long as they have.
func (e *Engine) Check() error {
	return e.write(func() error {
		errs := []error{}
		err := e.view(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				errs = append(errs, err)
			}
			return nil
		})
		_, damage := Verify(e.path)
		return errors.Join(append(errs, err, damage)...)
	})
}
