package extraconfig

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"log/slog"
	"slices"
	"sort"
	"strings"
)

// Pair is one key and its value, which is empty for an empty field: drivers Escape it where they must.
type Pair struct {
	Key, Value string
	leaf       *leaf
	entry      string // the names of the map entries on the way, separated by hole
}

// String is the key alone: some values are secret, and others are hidden from guests.
func (p Pair) String() string { return p.Key }

// Format keeps the value out of every verb.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.Key)) }

// LogValue keeps the value out of logs.
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.Key) }

// Scope is that of the field which the pair came from; it is never derived from the key's text.
func (p Pair) Scope() Scope { return p.leaf.scope }

// Secret reports whether the value is sealed with the executor's secret key. A pair that is of no field is not.
func (p Pair) Secret() bool { return p.leaf != nil && p.leaf.secret }

// NonPersistent reports whether the pair belongs to one boot of the VM.
func (p Pair) NonPersistent() bool { return p.leaf.nonPersistent }

// Field is the dotted path of the field that the pair came from: sessions.web.cmd.args. A list, an
// address with its mask, or a URL is one field.
func (p Pair) Field() string { return fill(p.leaf.path, p.entry) }

// fill puts the names of entries into a path.
func fill(path, entry string) string {
	if entry == "" {
		return path
	}
	var b strings.Builder
	for {
		before, after, more := strings.Cut(path, "*")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		name := entry
		if strings.Contains(after, "*") { // the last name may hold anything
			name, entry, _ = strings.Cut(entry, hole)
		}
		b.WriteString(name)
		path = after
	}
}

// KeySet is a set of pairs, ordered by key, bytewise. It never changes. All text but keys without names is in one string: a set
// is two objects without pointers, however many pairs it has. A set has less than 4 GiB.
type KeySet struct {
	text   string
	refs   []ref
	names  []string // what refs call an entry: the names on the way, separated by hole
	leaves []*leaf
}

// ref is a pair: its key is text[key:value], or its leaf's only one if that is empty, its value text[value:end].
type ref struct{ leaf, entry, key, value, end uint32 }

// offset is a length as refs hold it. Encode refuses what does not fit; no VM holds as much.
func offset(n int) uint32 { return uint32(n) } //nolint:gosec // see above

func (ks *KeySet) keyOf(r *ref) string {
	if r.key == r.value {
		return ks.leaves[r.leaf].key.constant
	}
	return ks.text[r.key:r.value]
}

func (ks KeySet) key(i int) string { return ks.keyOf(&ks.refs[i]) }

func (ks KeySet) at(i int) Pair {
	r := &ks.refs[i]
	return Pair{Key: ks.keyOf(r), Value: ks.text[r.value:r.end], leaf: ks.leaves[r.leaf], entry: ks.names[r.entry]}
}

// String is how many pairs there are: their values are not to be printed.
func (ks KeySet) String() string { return fmt.Sprintf("%d keys", ks.Len()) }

// Format keeps keys and values out of every verb.
func (ks KeySet) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(ks.String())) }

// LogValue keeps keys and values out of logs.
func (ks KeySet) LogValue() slog.Value { return slog.StringValue(ks.String()) }

// Len is the number of pairs.
func (ks KeySet) Len() int { return len(ks.refs) }

// All gives the pairs in order.
func (ks KeySet) All() iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		for i := range ks.refs {
			if !yield(ks.at(i)) {
				return
			}
		}
	}
}

// Get finds the pair of a key, ASCII case ignored where no key is exactly the same.
func (ks KeySet) Get(key string) (Pair, bool) {
	if i, ok := ks.search(key); ok {
		return ks.at(i), true
	}
	for i := range ks.refs {
		if foldEqual(ks.key(i), key) {
			return ks.at(i), true
		}
	}
	return Pair{}, false
}

// search finds where a key is, or would be.
func (ks KeySet) search(key string) (int, bool) {
	return sort.Find(len(ks.refs), func(i int) int { return strings.Compare(key, ks.key(i)) })
}

// Filter gives the pairs that keep holds for.
func (ks KeySet) Filter(keep func(Pair) bool) KeySet {
	var kept []ref
	for i, r := range ks.refs {
		if keep(ks.at(i)) {
			kept = append(kept, r)
		}
	}
	ks.refs = kept
	return ks
}

// Size is the number of bytes of all keys and values.
func (ks KeySet) Size() int {
	n := 0
	for i := range ks.refs {
		n += len(ks.key(i)) + int(ks.refs[i].end-ks.refs[i].value)
	}
	return n
}

// Map gives the pairs as a map.
func (ks KeySet) Map() map[string]string {
	m := make(map[string]string, len(ks.refs))
	for p := range ks.All() {
		m[p.Key] = p.Value
	}
	return m
}

// Digest is a short text that is equal for equal sets, and different for others.
func (ks KeySet) Digest() string {
	h := sha256.New()
	for p := range ks.All() {
		hashPair(h, p.Key, p.Value)
	}
	return digest(h)
}

// Fields gives the read-write fields by path, each with a digest of its pairs, which does not depend on the spelling of
// their keys. What a guest reported since is what differs in it.
func (ks KeySet) Fields() map[string]string {
	type pair struct{ field, key, value string }
	readWrite := func(r ref) bool { return ks.leaves[r.leaf].scope == ReadWrite }
	count := 0
	for _, r := range ks.refs {
		if readWrite(r) { // few are
			count++
		}
	}
	list := make([]pair, 0, count)
	for i, r := range ks.refs {
		if readWrite(r) {
			p := ks.at(i)
			list = append(list, pair{p.Field(), fold(p.Key), p.Value})
		}
	}
	slices.SortFunc(list, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.field, b.field), strings.Compare(a.key, b.key))
	})
	fields := make(map[string]string, count)
	h := sha256.New()
	for i, p := range list {
		hashPair(h, p.key, p.value)
		if i+1 == len(list) || list[i+1].field != p.field {
			fields[p.field] = digest(h)
			h.Reset()
		}
	}
	return fields
}

// hashPair writes a pair so that no two sequences of pairs give the same bytes, whatever is in them.
func hashPair(h hash.Hash, key, value string) {
	var b [8]byte
	for _, s := range [...]string{key, value} {
		binary.LittleEndian.PutUint64(b[:], uint64(len(s)))
		h.Write(b[:])
		h.Write([]byte(s))
	}
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:16]) }

// fold lowers ASCII letters: VMX keys ignore their case.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// foldEqual compares from the end, where keys differ.
func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
