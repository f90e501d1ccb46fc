package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/bolt"
	"github.com/vmexecutor/config-server/store/seal"
)

// command runs the binary to its end.
func command(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	return string(out), err
}

func (s *server) document(id string) map[string]any {
	s.Helper()
	var doc map[string]any
	s.expect(200, "GET", "/v1/executors/"+id, "", &doc)
	return doc
}

// TestBackupAndRestore: a copy of a server that is written to meanwhile becomes the store of another one.
func TestBackupAndRestore(t *testing.T) {
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "api.sock")
	s := start(t, dir, nil, "--socket-path", socket)
	s.expect(201, "POST", "/v1/executors", `{"id": "web", "hostname": "web", "key": "c2VjcmV0"}`, nil)
	want := s.document("web")

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					s.do("PUT", fmt.Sprintf("/v1/executors/x%d", i), fmt.Sprintf(`{"hostname": "h%d"}`, n))
				}
			}
		})
	}
	files := t.TempDir()
	first, second := filepath.Join(files, "first"), filepath.Join(files, "second")
	for file, args := range map[string][]string{first: {"backup", "--address", s.api}, second: {"--socket-path", socket, "backup"}} {
		for range 2 { // the second time it replaces the first
			if out, err := command(t, append(args, file)...); err != nil || !strings.Contains(out, "revision") {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	close(stop)
	clients.Wait()
	if entries, err := os.ReadDir(files); err != nil || len(entries) != 2 {
		t.Errorf("there are %v: %v", entries, err)
	}

	if out, err := command(t, "restore", "--data-dir", dir, "--replace", first); err == nil || !strings.Contains(out, "another server uses") {
		t.Errorf("into a store that is in use: %v\n%s", err, out)
	}
	s.terminate()
	if out, err := command(t, "restore", "--data-dir", dir, first); err == nil || !strings.Contains(out, "has a store already") {
		t.Errorf("over a store: %v\n%s", err, out)
	}
	other := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "secret.key"), []byte(readFile(t, filepath.Join(dir, "secret.key"))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"restore", "--data-dir", other, second}, {"restore", "--data-dir", dir, "--replace", first}} {
		if out, err := command(t, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		r := start(t, args[2], nil)
		if got := r.document("web"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("restored was %v, want %v", got, want)
		}
		// What comes now is later than all that was ever answered.
		var now struct{ Revision uint64 }
		if r.expect(201, "POST", "/v1/executors", `{"id": "new"}`, &now); now.Revision < 1_000_000_000 {
			t.Errorf("the next revision is %d", now.Revision)
		}
		r.terminate()
	}
}

// TestBackupsThatFail leave nothing behind that looks like one.
func TestBackupsThatFail(t *testing.T) {
	s := start(t, "none", nil)
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	for says, args := range map[string][]string{
		"memory":   {"backup", "--address", s.api, file},
		"refused":  {"backup", "--address", "http://127.0.0.1:1", file},
		"address":  {"backup", "--address", "nowhere", file},
		"FILE":     {"backup"},
		"no such":  {"backup", "--address", s.api, filepath.Join(dir, "none", "backup")},
		"data-dir": {"restore", "--data-dir", "none", file},
	} {
		out, err := command(t, args...)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there are %v: %v", entries, err)
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("none is a directory")
	}
	s.terminate()
}

// TestADamagedStore: the server does not start on it, says why, and leaves it as it is.
func TestADamagedStore(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "web", "hostname": "web"}`, nil)
	s.terminate()
	path := filepath.Join(dir, "store.db")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	at := bytes.LastIndex(good, []byte("executor/web")) // the page of keys, where the sealed record comes after it
	flipped[at+100] ^= 1
	const damaged = "the store is damaged"
	for what, tc := range map[string]struct {
		content []byte
		want    string
	}{
		"flipped": {flipped, damaged}, "cut": {good[:3*os.Getpagesize()], damaged}, "empty": {nil, damaged}, "zeroed": {make([]byte, len(good)), damaged},
		"newer": {bytes.ReplaceAll(good, []byte("format2"), []byte("format9")), newerVersion},
	} {
		if err := os.WriteFile(path, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		refusedToStart(t, what, dir, tc.want)
	}
}

const newerVersion = "the store was written by a newer version of this program"

// TestANewerRecord: a store whose format is known may hold something that is not.
func TestANewerRecord(t *testing.T) {
	dir := t.TempDir()
	keys, err := seal.MakeFile(filepath.Join(dir, "secret.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	newer := seal.NewKeys(keys.Keys...).Seal("executor/web", []byte(`{"format": 1000, "config": []}`))
	_, err = e.Commit(t.Context(), store.Txn{Ops: []store.Op{{Key: "executor/web", Value: newer}}, Event: []byte(`{}`)})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	refusedToStart(t, "a newer record", dir, newerVersion)
}

// refusedToStart wants the server to say why it does not run on a store, and to leave that as it is.
func refusedToStart(t *testing.T, what, dir, want string) {
	t.Helper()
	path := filepath.Join(dir, "store.db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "--port", "0", "--simulator-listen", "127.0.0.1:0", "--data-dir", dir)
	if err == nil || !strings.Contains(out, want) || strings.Contains(out, "panic") {
		t.Errorf("%s: want %q, got %v\n%s", what, want, err, out)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%s: the store was changed: %v", what, err)
	}
}
