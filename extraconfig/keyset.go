package extraconfig

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"iter"
	"slices"
	"strings"
)

// Pair is one key and its value, which is empty for an empty field: drivers Escape it where they must.
type Pair struct {
	Key, Value string
	leaf       *leaf
	entry      string // the names of the map entries on the way, separated by hole
}

// Scope is that of the field which the pair came from; it is never derived from the key's text.
func (p Pair) Scope() Scope { return p.leaf.scope }

// Secret reports whether the value is sealed with the executor's secret key.
func (p Pair) Secret() bool { return p.leaf.secret }

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

// KeySet is a set of pairs, ordered by key, bytewise. It never changes.
type KeySet struct{ pairs []Pair }

// Len is the number of pairs.
func (ks KeySet) Len() int { return len(ks.pairs) }

// All gives the pairs in order.
func (ks KeySet) All() iter.Seq[Pair] { return slices.Values(ks.pairs) }

// Get finds the pair of a key, ASCII case ignored where no key is exactly the same.
func (ks KeySet) Get(key string) (Pair, bool) {
	i, ok := slices.BinarySearchFunc(ks.pairs, key, func(p Pair, key string) int { return strings.Compare(p.Key, key) })
	if ok {
		return ks.pairs[i], true
	}
	for _, p := range ks.pairs {
		if foldEqual(p.Key, key) {
			return p, true
		}
	}
	return Pair{}, false
}

// Filter gives the pairs that keep holds for.
func (ks KeySet) Filter(keep func(Pair) bool) KeySet {
	n := 0
	for _, p := range ks.pairs {
		if keep(p) {
			n++
		}
	}
	if n == len(ks.pairs) {
		return ks
	}
	kept := make([]Pair, 0, n)
	for _, p := range ks.pairs {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return KeySet{kept}
}

// Size is the number of bytes of all keys and values.
func (ks KeySet) Size() int {
	n := 0
	for _, p := range ks.pairs {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

// Map gives the pairs as a map.
func (ks KeySet) Map() map[string]string {
	m := make(map[string]string, len(ks.pairs))
	for _, p := range ks.pairs {
		m[p.Key] = p.Value
	}
	return m
}

// Digest is a short text that is equal for equal sets, and different for others.
func (ks KeySet) Digest() string {
	h := sha256.New()
	for _, p := range ks.pairs {
		hashPair(h, p.Key, p.Value)
	}
	return digest(h)
}

// Fields gives the read-write fields by path, each with a digest of its pairs, which does not depend on the spelling of
// their keys. What a guest reported since is what differs in it.
func (ks KeySet) Fields() map[string]string {
	type pair struct{ field, key, value string }
	var list []pair
	for _, p := range ks.pairs {
		if p.leaf.scope == ReadWrite {
			list = append(list, pair{p.Field(), fold(p.Key), p.Value})
		}
	}
	slices.SortFunc(list, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.field, b.field), strings.Compare(a.key, b.key))
	})
	fields := map[string]string{}
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

func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
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
