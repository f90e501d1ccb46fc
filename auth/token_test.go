package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func principal(t *testing.T, name, role string) Principal {
	t.Helper()
	p, err := NewPrincipal(name, role)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newToken(t *testing.T, file, name, role string) string {
	t.Helper()
	token, err := NewToken(file, principal(t, name, role))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestPrincipals(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, tc := range []struct {
		name, role string
		want       Principal
	}{
		{"ci", "viewer", Principal{"ci", Viewer, ""}},
		{"ci.runner_7", "operator", Principal{"ci.runner_7", Operator, ""}},
		{"root", "admin", Principal{"root", Admin, ""}},
		{"guest", "vm:" + id, Principal{"guest", VM, id}},
		{"", "admin", Principal{}},
		{"two words", "admin", Principal{}},
		{"a\nb", "admin", Principal{}},
		{strings.Repeat("a", 129), "admin", Principal{}},
		{"ci", "", Principal{}},
		{"ci", "root", Principal{}},
		{"ci", "vm", Principal{}},
		{"ci", "vm:", Principal{}},
		{"ci", "vm:a/b", Principal{}},
		{"ci", "Admin", Principal{}},
	} {
		got, err := NewPrincipal(tc.name, tc.role)
		if got != tc.want || (err == nil) != (tc.want != Principal{}) {
			t.Errorf("%q %q: %+v %v", tc.name, tc.role, got, err)
		}
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	first, second := newToken(t, file, "ci", "operator"), newToken(t, file, "ci", "vm:web-1")
	if first == second || len(first) != len(tokenPrefix)+43 {
		t.Errorf("tokens are %q and %q", first, second)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	if strings.Contains(string(text), first) || strings.Contains(string(text), first[len(tokenPrefix):]) {
		t.Errorf("the file has the token: %s", text)
	}
	known, err := readTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := known.find(first); err != nil || p != principal(t, "ci", "operator") {
		t.Errorf("found %v %v", p, err)
	}
	if p, err := known.find(second); err != nil || p != principal(t, "ci", "vm:web-1") {
		t.Errorf("found %v %v", p, err)
	}
	for _, wrong := range []string{"", first + "=", first[1:], strings.ToUpper(first), string(text)} {
		if p, err := known.find(wrong); !errors.Is(err, ErrBadToken) || !errors.Is(err, ErrUnauthenticated) || p.Role != "" {
			t.Errorf("%q is %v %v", wrong, p, err)
		}
	}
}

// TestTokenFiles: what is wrong is told by its line, and what stands there is not.
func TestTokenFiles(t *testing.T) {
	hash := hashPrefix + strings.Repeat("0a", 32)
	for _, tc := range []struct{ text, says string }{
		{"", ""},
		{"# a comment\n\n  \nci viewer " + hash + "\n", ""},
		{"ci viewer " + hash, ""},
		{"ci\tviewer\t" + hash + "\r\n", ""},
		{"secret\n", "line 1"},
		{"\nci viewer secret\n", "line 2"},
		{"ci viewer " + strings.TrimPrefix(hash, hashPrefix) + "\n", "line 1"},
		{"ci viewer " + hash + "0\n", "line 1"},
		{"ci viewer " + hash + " secret\n", "line 1"},
		{"ci secret " + hash + "\n", "line 1"},
		{"a/secret viewer " + hash + "\n", "line 1"},
		{"ci viewer " + hash + "\nci admin " + hash + "\n", "line 2"},
	} {
		file := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readTokens(file)
		if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", tc.text, err)
		}
		if _, appended := NewToken(file, principal(t, "new", "admin")); (appended == nil) != (err == nil) {
			t.Errorf("%q: %v, but adding to it: %v", tc.text, err, appended)
		}
		if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), tc.text) {
			t.Errorf("%q became %q %v", tc.text, text, err)
		}
	}
	file := filepath.Join(t.TempDir(), "tokens")
	newToken(t, file, "ci", "viewer")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readTokens(file); err == nil {
		t.Error("a file that everybody can write to is used")
	}
}

// TestTokensMadeAtOnce: none is lost, the mode stays, a link stays one, and nothing else is left behind.
func TestTokensMadeAtOnce(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "tokens"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("# mine"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	var made sync.Map
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			token, err := NewToken([]string{file, link}[i%2], Principal{Name: fmt.Sprint("n", i), Role: Viewer})
			if err != nil {
				t.Error(err)
			}
			made.Store(token, i)
		})
	}
	all.Wait()
	known, err := readTokens(link)
	if err != nil || len(known) != 20 {
		t.Fatalf("%d tokens, %v", len(known), err)
	}
	made.Range(func(token, i any) bool {
		if p, err := known.find(token.(string)); err != nil || p.Name != fmt.Sprint("n", i) {
			t.Errorf("token %d: %v %v", i, p, err)
		}
		return true
	})
	if info, err := os.Lstat(file); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the directory has %v %v", entries, err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "# mine\n") {
		t.Errorf("%s %v", text, err)
	}
}

// TestTokensChange: the next use sees another version; a faulty one, and a file that is gone, change nothing and are logged once.
func TestTokensChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	log := &bytes.Buffer{}
	first := newToken(t, file, "first", "viewer")
	c, err := Open(Options{TokenFile: file, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	knows := func(token string, want bool) {
		t.Helper()
		for range 3 {
			if _, err := c.tokens.get().find(token); (err == nil) != want {
				t.Errorf("known: %v, want %v", err == nil, want)
			}
		}
	}
	faults := func(want int) {
		t.Helper()
		if got := strings.Count(log.String(), "level=ERROR"); got != want {
			t.Errorf("%d faults were logged, want %d:\n%s", got, want, log)
		}
	}
	second := newToken(t, file, "second", "admin")
	knows(first, true)
	knows(second, true)
	faults(0)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(second) // a token, where its hash should be
	knows(first, true)
	faults(1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	knows(first, true)
	faults(2)
	_, rest, _ := strings.Cut(string(good), "\n")
	put(rest)
	knows(first, false)
	knows(second, true)
	put("")
	knows(second, false)
	faults(2)
	if strings.Contains(log.String(), second) || strings.Contains(log.String(), first) {
		t.Errorf("a token is in the log:\n%s", log)
	}
	if _, err := Open(Options{TokenFile: file + ".none", Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("a file that there is not: %v", err)
	}
}
