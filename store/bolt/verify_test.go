package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vmexecutor/config-server/store"
)

// sample makes a store with trees of several levels, values that take several pages, and pages that are free. It gives
// what is in it.
func sample(t testing.TB, dir string) []string {
	t.Helper()
	e, err := Open(dir, WithHistory(store.History{Commits: 200}))
	if err != nil {
		t.Fatal(err)
	}
	load(t, e, 8, "x")
	err = e.write(func() error { // one transaction is quicker than many
		return e.update(func(tx *bbolt.Tx) error {
			c, err := begin(tx, time.Now())
			for i := 0; i < 300 && err == nil; i++ {
				err = c.commit(put(fmt.Sprintf("%0100d", i), fmt.Sprint(i)))
			}
			if err != nil {
				return err
			}
			return c.end(e.history)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	load(t, e, 4, "")
	all := dump(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// tryOpen opens a store that may be damaged. It is refused with a clear error and left as it is, or holds all that it held.
func tryOpen(t *testing.T, what string, content []byte, want []string) (opens bool) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Open(dir)
	if err == nil {
		if got := dump(t, e); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: it opens, and holds something else", what)
		}
		if err := errors.Join(e.Check(), e.Close()); err != nil {
			t.Errorf("%s: it opens, and then: %v", what, err)
		}
		return true
	}
	if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrFormat) && !errors.Is(err, errNotOurs) {
		t.Errorf("%s: %v", what, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
		t.Errorf("%s: the file was changed: %v", what, err)
	}
	return false
}

// TestDamage: whatever happened to the bytes of a file, it is refused or is whole.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	good, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	info, err := Verify(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	good = good[:info.Size] // beyond it nothing is in use
	if !tryOpen(t, "as it was", good, want) {
		t.Fatal("the good one is refused")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	refused := map[string]int{}
	try := func(kind, what string, content []byte) {
		if !tryOpen(t, what, content, want) {
			refused[kind]++
		}
	}
	// Cut at all kinds of lengths: it never is whole.
	cuts := []int{0, 1, 15, 16, 100, page - 1, page, page + 100, 2*page - 1, 2 * page, len(good) - 1, len(good) - page}
	for range 40 {
		cuts = append(cuts, rng.IntN(len(good)))
	}
	for _, n := range cuts {
		try("cut", fmt.Sprintf("cut to %d bytes", n), good[:n])
	}
	if refused["cut"] != len(cuts) {
		t.Errorf("%d of %d stores that were cut off are refused", refused["cut"], len(cuts))
	}
	pages := len(good) / page
	for i := range pages {
		for kind, fill := range map[string]byte{"zeroed": 0, "all ones": 0xff} {
			bad := bytes.Clone(good)
			copy(bad[i*page:(i+1)*page], bytes.Repeat([]byte{fill}, page))
			try(kind, fmt.Sprintf("page %d %s", i, kind), bad)
		}
		bad := bytes.Clone(good) // what belongs to another place
		from := rng.IntN(pages)
		copy(bad[i*page:(i+1)*page], good[from*page:(from+1)*page])
		try("moved", fmt.Sprintf("page %d is where %d should be", from, i), bad)
		bad = bytes.Clone(good)
		at := i*page + rng.IntN(64) // of the header, or of what follows it
		bad[at] ^= 1 << rng.IntN(8)
		try("flipped", fmt.Sprintf("a bit of byte %d", at), bad)
	}
	for range 100 {
		bad := bytes.Clone(good)
		for range 1 + rng.IntN(3) {
			bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		}
		try("flipped", "some bytes", bad)
	}
	for _, kind := range []string{"zeroed", "all ones", "moved", "flipped"} {
		if refused[kind] < pages/4 {
			t.Errorf("of %d pages only %d were missed when they were %s", pages, refused[kind], kind)
		}
	}
	t.Logf("%d pages; refused: %v", pages, refused)
}

// FuzzVerify: no file makes it panic, or read without end.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	sample(f, dir)
	good, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		f.Fatal(err)
	}
	info, err := Verify(filepath.Join(dir, FileName))
	if err != nil {
		f.Fatal(err)
	}
	good = good[:info.Size]
	f.Add(uint32(100), []byte{1, 2, 3, 4})
	f.Add(uint32(os.Getpagesize()+24), []byte{0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		bad := bytes.Clone(good)
		copy(bad[int(at)%len(bad):], change)
		if _, err := verifyFile(bytes.NewReader(bad), int64(len(bad))); err != nil && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrFormat) && !errors.Is(err, errNotOurs) {
			t.Error(err)
		}
	})
}

// TestAnOlderFormat is made new when it is opened, and loses nothing.
func TestAnOlderFormat(t *testing.T) {
	dir := t.TempDir()
	err := update(filepath.Join(dir, FileName), func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{keysBucket, logBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		err := errors.Join(meta.Put(formatKey, []byte("1")), meta.Put([]byte("revision"), number(30)))
		for r := uint64(11); r <= 30; r++ {
			key, event := fmt.Sprintf("key/%d", r), fmt.Sprintf("event %d", r)
			err = errors.Join(err, tx.Bucket(keysBucket).Put([]byte(key), append(number(r), "value of "+key...)), tx.Bucket(logBucket).Put(number(r), []byte(event)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e := opened(t, dir)
	got := dump(t, e)
	if len(got) != 21 || got[0] != "30" || got[1] != "key/11=value of key/11@11" {
		t.Errorf("%q", got)
	}
	if revision, err := e.Commit(t.Context(), put("a", "1")); err != nil || revision != 31 {
		t.Errorf("%d %v", revision, err)
	}
	at := uint64(10)
	for c, err := range e.Watch(t.Context(), 10) {
		if at++; err != nil || c.Revision != at || at <= 30 && string(c.Event) != fmt.Sprintf("event %d", at) {
			t.Fatalf("%d is %q: %v", at, c.Event, err)
		}
		if at == 31 {
			break
		}
	}
	for _, err := range e.Watch(t.Context(), 9) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Error(err)
		}
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	if info, err := Verify(filepath.Join(dir, FileName)); err != nil || info.Format != format || info.Keys != 21 || info.Commits != 21 || info.Revision != 31 {
		t.Errorf("%+v %v", info, err)
	}
}

// TestDamageUnderWay: what goes wrong while a store is open is an error of who reads it.
func TestDamageUnderWay(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	load(t, e, 10, "x")
	path := filepath.Join(dir, FileName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("x"), 10_000)
	for at := 0; ; at++ {
		next := bytes.Index(content[at:], value)
		if next < 0 {
			break
		}
		at += next
		if _, err := f.WriteAt([]byte("y"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	err = e.View(context.Background(), func(s store.Snapshot) error {
		_, _, err := s.Get("key/3")
		return err
	})
	if !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
	if err := e.Check(); !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
