package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

const name, text = "executor/web", `{"format":1,"config":{"id":"web"}}`

func TestWhatIsSealedOpens(t *testing.T) {
	keys := NewKeys()
	for _, plain := range []string{text, "", strings.Repeat("x", 1<<20)} {
		sealed := keys.Seal(name, []byte(plain))
		if len(sealed) != len(plain)+Overhead {
			t.Errorf("%d bytes became %d", len(plain), len(sealed))
		}
		if len(plain) > 0 && bytes.Contains(sealed, []byte(plain)) {
			t.Error("the text is to be seen")
		}
		if got, err := keys.Open(name, sealed); err != nil || string(got) != plain {
			t.Errorf("opened: %.40q %v, want %.40q", got, err, plain)
		}
	}
	if bytes.Equal(keys.Seal(name, []byte(text)), keys.Seal(name, []byte(text))) {
		t.Error("the same text is sealed the same twice: a nonce was used again")
	}
}

// TestNothingElseOpens: not with one bit changed, nor cut, nor longer, nor under another name, nor with another key.
func TestNothingElseOpens(t *testing.T) {
	keys := NewKeys()
	sealed := keys.Seal(name, []byte(text))
	refused := func(what, name string, keys *Keys, record []byte) {
		t.Helper()
		got, err := keys.Open(name, record)
		if err == nil || got != nil {
			t.Errorf("%s: opens as %q", what, got)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			flipped := bytes.Clone(sealed)
			flipped[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d flipped", bit, i), name, keys, flipped)
		}
		refused(fmt.Sprintf("cut to %d bytes", i), name, keys, sealed[:i])
	}
	refused("longer", name, keys, append(bytes.Clone(sealed), 0))
	refused("another name", "executor/weB", keys, sealed)
	refused("a part of the name", "executor/we", keys, sealed)
	refused("another key", name, NewKeys(), sealed)
	refused("nothing", name, keys, nil)

	other := NewKeys().Seal(name, []byte(text))
	if _, err := keys.Open(name, other); !errors.As(err, new(*UnknownKeyError)) {
		t.Errorf("sealed with a key that is not at hand: %v", err)
	}
	relabelled := append(bytes.Clone(sealed[:headerSize]), other[headerSize:]...)
	if _, err := keys.Open(name, relabelled); !errors.Is(err, ErrDamaged) {
		t.Errorf("under the label of another key: %v", err)
	}
}

func TestUnsealedIsTakenWhileItMayBeThere(t *testing.T) {
	keys := NewKeys()
	if _, err := keys.Open(name, []byte(text)); !errors.Is(err, ErrNotSealed) {
		t.Errorf("not sealed: %v", err)
	}
	keys.TakeUnsealed(true)
	if got, err := keys.Open(name, []byte(text)); err != nil || string(got) != text {
		t.Errorf("taken: %q %v", got, err)
	}
	if _, err := keys.Open(name, keys.Seal(name, nil)[:20]); !errors.Is(err, ErrDamaged) {
		t.Errorf("what begins as if it was sealed: %v", err)
	}
	keys.TakeUnsealed(false)
	if _, err := keys.Open(name, []byte(text)); !errors.Is(err, ErrNotSealed) {
		t.Errorf("taken no more: %v", err)
	}
}

func TestKeysChangeWhileTheyAreUsed(t *testing.T) {
	first := NewKey()
	keys := NewKeys(first)
	old := keys.Seal(name, []byte(text))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if got, err := keys.Open(name, keys.Seal(name, []byte(text))); err != nil || string(got) != text {
					t.Errorf("%q %v", got, err)
				}
			}
		})
	}
	for range 20 {
		next := NewKey()
		keys.Use(next)
		if keys.Current() != next.ID() {
			t.Errorf("the key that seals is %s, want %s", keys.Current(), next.ID())
		}
	}
	all.Wait()
	if got, err := keys.Open(name, old); err != nil || string(got) != text {
		t.Errorf("what the first key sealed: %q %v", got, err)
	}
	if id, ok := SealedWith(old); !ok || id != first.ID() {
		t.Errorf("it was sealed with %s, want %s", id, first.ID())
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	key := NewKey()
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", key, &key, []Key{key})
	}
	fmt.Fprintln(&printed, File{Keys: []Key{key}}, NewKeys(key))
	for _, h := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(h).Info("x", "key", key, "pointer", &key, "file", File{Keys: []Key{key}})
	}
	inside, err := json.Marshal(File{Keys: []Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(inside)
	raw := key.Text()[len(keyPrefix):]
	for _, secret := range []string{raw, string(key.secret[:]), fmt.Sprintf("%x", key.secret), fmt.Sprintf("%d", key.secret[:3])[1:8]} {
		if strings.Contains(printed.String(), secret) {
			t.Errorf("%q is in\n%s", secret, printed.String())
		}
	}
	if !strings.Contains(printed.String(), key.ID().String()) {
		t.Error("keys print without their ID")
	}
}

// BenchmarkSeal and BenchmarkOpen are what a record of 5 KB costs beyond its encoding.
func BenchmarkSeal(b *testing.B) {
	keys, plain := NewKeys(), bytes.Repeat([]byte("x"), 5<<10)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		keys.Seal(name, plain)
	}
}

func BenchmarkOpen(b *testing.B) {
	keys, plain := NewKeys(), bytes.Repeat([]byte("x"), 5<<10)
	sealed := keys.Seal(name, plain)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Open(name, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
