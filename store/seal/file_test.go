package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestALifeOfAKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	read := func() File {
		t.Helper()
		f, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if _, err := ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is made: %v", err)
	}
	made, err := MakeFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v %v", info.Mode(), err)
	}
	first := read()
	if len(first.Keys) != 1 || first.Keys[0] != made.Keys[0] || !first.Unsealed {
		t.Errorf("it has %v", first)
	}
	if _, err := MakeFile(path, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made again: %v", err)
	}
	rotated, err := Rotate(path)
	if err != nil {
		t.Fatal(err)
	}
	if second := read(); len(second.Keys) != 2 || second.Keys[0] != rotated.Keys[0] || second.Keys[1] != first.Keys[0] || !second.Unsealed {
		t.Errorf("rotated it has %v", second)
	}
	if _, err := Retire(path, first.Keys[0].ID()); err != nil || len(read().Keys) != 2 {
		t.Errorf("when all is sealed with what is not the first key: %v, %v", err, read())
	}
	for range 2 {
		if _, err := Retire(path, rotated.Keys[0].ID()); err != nil {
			t.Fatal(err)
		}
		if last := read(); len(last.Keys) != 1 || last.Keys[0] != rotated.Keys[0] || last.Unsealed {
			t.Errorf("in the end it has %v", last)
		}
	}
}

// TestKeysAreKept behind those that a file has; a copy has them all.
func TestKeysAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	first, second, third := NewKey(), NewKey(), NewKey()
	if err := (File{Keys: []Key{first}, Unsealed: true}).Save(path); err != nil {
		t.Fatal(err)
	}
	want := []Key{first, second, third}
	kept, err := Keep(path, second, first, third)
	if err != nil || !slices.Equal(kept.Keys, want) || !kept.Unsealed {
		t.Errorf("kept are %v: %v", kept, err)
	}
	if f, err := ReadFile(path); err != nil || !slices.Equal(f.Keys, want) || !f.Unsealed {
		t.Errorf("the file has %v: %v", f, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	key := NewKey().Text()
	dir := t.TempDir()
	for what, tc := range map[string]struct {
		text, says string
		mode       os.FileMode
	}{
		"no key":          {"# nothing\n\n", "has no key", 0o600},
		"empty":           {"", "has no key", 0o600},
		"no prefix":       {"\n" + strings.TrimPrefix(key, keyPrefix), "line 2: is not a key", 0o600},
		"cut":             {key[:len(key)-1], "line 1: is not a key", 0o600},
		"longer":          {key + "A", "line 1: is not a key", 0o600},
		"two on a line":   {key + " " + key, "line 1: is not a key", 0o600},
		"twice":           {key + "\n" + key, "line 2: is on an earlier line", 0o600},
		"everybody reads": {key, "everybody may use the keys", 0o604},
	} {
		path := filepath.Join(dir, what)
		if err := os.WriteFile(path, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(path)
		if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), key[len(keyPrefix):len(keyPrefix)+10]) {
			t.Errorf("%s: the error shows the key", what)
		}
		if _, rotated := Rotate(path); rotated == nil {
			t.Errorf("%s: it is rotated", what)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != tc.text {
			t.Errorf("%s: the file was changed", what)
		}
	}
	for what, text := range map[string]string{"a comment": "# a\n\n  " + key + " \r\n", "no newline": key} {
		path := filepath.Join(dir, what)
		if err := os.WriteFile(path, []byte(text), 0o440); err != nil {
			t.Fatal(err)
		}
		if f, err := ReadFile(path); err != nil || f.Keys[0].Text() != key {
			t.Errorf("%s: %v", what, err)
		}
	}
}
