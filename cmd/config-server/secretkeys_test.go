package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/seal"
)

const sealedExecutor = `{"id": "web", "hostname": "canary-in-clear", "key": "Y2FuYXJ5LWtleQ==", "mounts": {"data": {"path": "/data", "source": "nfs://user:canary-pass@nas/export"}}}`

// noCanary looks for what must be sealed in a file.
func noCanary(t *testing.T, file string) {
	t.Helper()
	text := readFile(t, file)
	for _, canary := range []string{"canary", "Y2FuYXJ5"} {
		if strings.Contains(text, canary) {
			t.Errorf("%s shows %q", file, canary)
		}
	}
}

// TestTheStoreIsSealed, and its backup, with a key that is made at the first start: without it nothing of them is to be read.
func TestTheStoreIsSealed(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(t.TempDir(), "key")
	s := start(t, dir, nil, "--secret-key-file", key)
	s.expect(201, "POST", "/v1/executors", sealedExecutor, nil)
	want := s.document("web")
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := command(t, "backup", "--address", s.api, backup); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.terminate()
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v %v", info, err)
	}
	noCanary(t, filepath.Join(dir, "store.db"))
	noCanary(t, backup)
	if text := readFile(t, key); strings.Contains(s.output.String(), strings.Fields(text)[len(strings.Fields(text))-1]) {
		t.Error("the log shows the key")
	}

	s = start(t, dir, nil, "--secret-key-file", key)
	if got := s.document("web"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("started again it has %v, want %v", got, want)
	}
	s.terminate()

	other := filepath.Join(t.TempDir(), "other")
	made, err := seal.MakeFile(other, false)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	id := s.keyID(key)
	for what, says := range map[string]string{none: "the store is sealed with the key " + id, other: other + " does not have the key " + id} {
		out, err := command(t, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", dir, "--secret-key-file", what)
		if err == nil || !strings.Contains(out, "--secret-key-file: ") || !strings.Contains(out, says) || strings.Contains(out, made.Keys[0].Text()) {
			t.Errorf("with %s: %v\n%s", what, err, out)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a key was made for a store that is sealed with another")
	}

	elsewhere := filepath.Join(t.TempDir(), "data")
	for _, tc := range []struct{ key, says string }{
		{filepath.Join(elsewhere, "secret.key"), "is not there: " + backup + " is sealed with the key " + id},
		{other, other + " does not have the key " + id},
		{key, "revision"},
	} {
		out, err := command(t, "restore", "--data-dir", elsewhere, "--secret-key-file", tc.key, backup)
		if (err == nil) != (tc.key == key) || !strings.Contains(out, tc.says) {
			t.Errorf("restored with %s: %v\n%s", tc.key, err, out)
		}
	}
	r := start(t, elsewhere, nil, "--secret-key-file", key)
	if got := r.document("web"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("restored was %v, want %v", got, want)
	}
	r.terminate()
}

// keyID is the ID of the first key of a file.
func (s *server) keyID(file string) string {
	s.Helper()
	f, err := seal.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	return f.Keys[0].ID().String()
}

// TestRotatedKeys: the store is sealed with other keys, again and again, while clients read and write. No request fails, and afterwards the
// earlier keys open nothing of it.
func TestRotatedKeys(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "secret.key")
	trail := filepath.Join(t.TempDir(), "audit")
	s := start(t, dir, nil, "--audit-file", trail)
	s.expect(201, "POST", "/v1/executors", sealedExecutor, nil)
	for i := range 200 {
		s.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": "x%d", "hostname": "%s"}`, i, strings.Repeat("h", 200)), nil)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := command(t, "backup", "--address", s.api, backup); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := s.keyID(key)
	kept := key + "." + first // where the first rotation leaves it

	work := newLoad(t)
	for w := range 4 {
		n := 0
		work.run(func() error {
			n++
			id := fmt.Sprintf("/v1/executors/x%d", w*50+n%50)
			if a, err := s.try("PUT", id, fmt.Sprintf(`{"hostname": "w%dn%d"}`, w, n)); err != nil || a.status != 200 {
				return fmt.Errorf("PUT %s: %v %w", id, a.status, err)
			}
			if a, err := s.try("GET", id, ""); err != nil || a.status != 200 || !strings.Contains(string(a.body), fmt.Sprintf(`"w%dn%d"`, w, n)) {
				return fmt.Errorf("GET %s: %v %s %w", id, a.status, a.body, err)
			}
			if a, err := s.try("GET", fmt.Sprintf("/v1/executors?limit=7&idPrefix=x%d", w), ""); err != nil || a.status != 200 {
				return fmt.Errorf("list: %v %w", a.status, err)
			}
			return nil
		})
	}
	work.everyone()
	last := first
	for range 3 {
		out, err := command(t, "rotate-key", "--data-dir", dir)
		now := s.keyID(key)
		if err != nil || now == last || !strings.Contains(out, now) || !strings.Contains(out, last) || !strings.Contains(out, "everything is sealed with it") {
			t.Fatalf("%v\n%s", err, out)
		}
		work.everyone()
		last = now
	}
	// A key file that is replaced as a whole, as those are that come from elsewhere.
	next := filepath.Join(t.TempDir(), "next")
	made, err := seal.MakeFile(next, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, key); err != nil {
		t.Fatal(err)
	}
	last = made.Keys[0].ID().String()
	s.logs(`"msg":"the store is sealed with one key","key":"` + last)
	work.everyone()
	work.stop()
	want := s.document("web")
	s.terminate()
	if n := strings.Count(readFile(t, trail), `"operation":"reseal"`); n != 4 {
		t.Errorf("the audit trail tells of %d rotations", n)
	}

	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = e.View(t.Context(), func(snap store.Snapshot) error {
		with, unsealed, err := store.Seals(snap)
		if len(with) != 1 || with[made.Keys[0].ID()] != 201 || unsealed > 0 {
			t.Errorf("the store is sealed with %v, and %d are not; want 201 with %s", with, unsealed, last)
		}
		return err
	})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir, nil)
	if got := s.document("web"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("started again it has %v, want %v", got, want)
	}
	s.terminate()
	if out, err := command(t, "restore", "--data-dir", dir, "--replace", backup); err == nil || !strings.Contains(out, "does not have the key "+first) {
		t.Errorf("a backup from before: %v\n%s", err, out)
	}
	if out, err := command(t, "restore", "--data-dir", dir, "--replace", "--secret-key-file", kept, backup); err != nil {
		t.Errorf("a backup from before, with its key: %v\n%s", err, out)
	}
}

// TestAKeyIsRotatedWhileNoServerRuns: the next one seals all with it.
func TestAKeyIsRotatedWhileNoServerRuns(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "secret.key")
	if out, err := command(t, "rotate-key", "--data-dir", dir); err == nil || !strings.Contains(out, "no such file") {
		t.Errorf("there is no file: %v\n%s", err, out)
	}
	s := start(t, dir, nil)
	s.expect(201, "POST", "/v1/executors", sealedExecutor, nil)
	want := s.document("web")
	s.terminate()
	before := s.keyID(key)
	if out, err := command(t, "rotate-key", "--data-dir", dir, "--wait", "1ns"); err == nil || !strings.Contains(out, "no server has sealed everything") {
		t.Errorf("nobody seals anew: %v\n%s", err, out)
	}
	if out, err := command(t, "rotate-key", "--data-dir", dir, "--wait", "0"); err == nil || !strings.Contains(out, "has 2 keys") {
		t.Errorf("again before the server did its part: %v\n%s", err, out)
	}
	now := s.keyID(key)
	s = start(t, dir, nil)
	s.logs(`"msg":"the store is sealed with one key","key":"` + now)
	if got := s.document("web"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it has %v, want %v", got, want)
	}
	s.terminate()
	if f, err := seal.ReadFile(key); err != nil || len(f.Keys) != 1 || f.Keys[0].ID().String() != now || now == before {
		t.Errorf("the file has %v: %v", f, err)
	}
}

// TestAStoreOfBeforeKeys is sealed at its first start with them. Later nothing that is not sealed is taken: it is from somebody else.
func TestAStoreOfBeforeKeys(t *testing.T) {
	dir := t.TempDir()
	plant := func(id string) {
		t.Helper()
		e, err := bolt.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "executor/" + id, Value: fmt.Appendf(nil, `{"format": 1, "config": {"id": %q, "hostname": "canary"}, "secretKey": "%s"}`, id, strings.Repeat("A", 43)+"=")}}, Event: []byte(`{}`)})
		if err := errors.Join(err, e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	plant("web")
	s := start(t, dir, nil)
	s.logs(`"msg":"the store is sealed with one key"`)
	if got := s.document("web"); got["hostname"] != "canary" {
		t.Errorf("it has %v", got)
	}
	s.terminate()
	noCanary(t, filepath.Join(dir, "store.db"))

	plant("forged")
	refusedToStart(t, "a record that is not sealed", dir, "1 records are not sealed: unless somebody else put them there")
	file := filepath.Join(dir, "secret.key")
	if err := os.WriteFile(file, []byte(readFile(t, file)+"unsealed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir, nil)
	s.logs(`"msg":"the store is sealed with one key"`)
	if got := s.document("forged"); got["hostname"] != "canary" {
		t.Errorf("it has %v", got)
	}
	s.terminate()
}
