package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// keyPrefix lets people, and tools that look for secrets in the wrong places, see what they have in front of them.
const keyPrefix = "cfgk_"

// ID names a key, and tells nothing of it.
type ID [8]byte

// String gives it as 16 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is String, for logs.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// Key is 256 bits that seal. It prints as its ID.
type Key struct {
	secret [chacha20poly1305.KeySize]byte
}

// NewKey makes a key.
func NewKey() (k Key) {
	rand.Read(k.secret[:]) // never fails: crypto/rand ends the program instead
	return k
}

// ParseKey reads a key as Text writes it. Its error does not show what was read.
func ParseKey(text string) (Key, error) {
	digits, ok := strings.CutPrefix(text, keyPrefix)
	secret, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	if !ok || err != nil || len(secret) != chacha20poly1305.KeySize {
		return Key{}, errors.New("is not a key: " + keyPrefix + " and 43 characters of base64")
	}
	return Key{[chacha20poly1305.KeySize]byte(secret)}, nil
}

// Text gives the key itself, for its file.
func (k Key) Text() string { return keyPrefix + base64.RawURLEncoding.EncodeToString(k.secret[:]) }

// ID gives the key's name, which is made of it by HKDF (RFC 5869): nobody gets from there to the key.
func (k Key) ID() ID {
	id, err := hkdf.Expand(sha256.New, k.secret[:], "config-server key id", len(ID{}))
	if err != nil {
		panic(err) // it is only ever too long
	}
	return ID(id)
}

func (k Key) cipher() cipher.AEAD {
	c, err := chacha20poly1305.NewX(k.secret[:])
	if err != nil {
		panic(err) // the key has the right size
	}
	return c
}

// String gives the ID.
func (k Key) String() string { return "key " + k.ID().String() }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format prints the ID, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
