// Package seal keeps what is stored from whoever has the disk, or a backup, and not the key. A record is sealed whole, for its name: a part of
// it, or another record under that name, does not open.
//
// The cipher is XChaCha20-Poly1305 of x/crypto (draft-irtf-cfrg-xchacha-03): its nonces are long enough to be drawn at random for as
// many records as there will ever be. Package store seals and opens with it, package app keeps the keys' file.
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed record is the version, the key's ID, the nonce, and what the cipher made of the text. All before the nonce, and the name, are
// authenticated with it.
const (
	version    = 1
	headerSize = 1 + len(ID{})
	nonceSize  = chacha20poly1305.NonceSizeX
	// Overhead is how much longer than its text a sealed record is, in bytes.
	Overhead = headerSize + nonceSize + chacha20poly1305.Overhead
)

// Why a record does not open.
var (
	ErrNotSealed = errors.New("is not sealed")
	ErrDamaged   = errors.New("is not what was sealed under its name")
)

// UnknownKeyError says that a record was sealed with a key that is not at hand.
type UnknownKeyError struct{ ID ID }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("is sealed with the key %s, which is not among the keys at hand", e.ID)
}

// Keys seal with one key and open with several. They may be used and changed at the same time.
type Keys struct {
	ring     atomic.Pointer[ring]
	unsealed atomic.Bool
	mu       sync.Mutex // for who changes them
}

type ring struct {
	current ID
	ciphers map[ID]cipher.AEAD
}

// NewKeys gives keys of which the first seals, and all open. Without any it makes one that nobody else has: what it seals is
// lost with the process.
func NewKeys(keys ...Key) *Keys {
	if len(keys) == 0 {
		keys = []Key{NewKey()}
	}
	k := &Keys{}
	k.Use(keys...)
	return k
}

// Use has the first of these keys seal from now on. They open, and so do those that did before: they may be of use to somebody who
// reads what was stored a while ago.
func (k *Keys) Use(keys ...Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := &ring{current: keys[0].ID(), ciphers: map[ID]cipher.AEAD{}}
	if now := k.ring.Load(); now != nil {
		maps.Copy(next.ciphers, now.ciphers)
	}
	for _, key := range keys {
		next.ciphers[key.ID()] = key.cipher()
	}
	k.ring.Store(next)
}

// TakeUnsealed says whether records that are not sealed are taken as they are: those of a store that was made without keys. Otherwise
// they are refused, as somebody else may have put them there.
func (k *Keys) TakeUnsealed(take bool) { k.unsealed.Store(take) }

// Current gives the ID of the key that seals.
func (k *Keys) Current() ID { return k.ring.Load().current }

// Seal seals the text of a record.
func (k *Keys) Seal(name string, text []byte) []byte {
	r := k.ring.Load()
	sealed := make([]byte, headerSize+nonceSize, len(text)+Overhead)
	sealed[0] = version
	copy(sealed[1:], r.current[:])
	nonce := sealed[headerSize:]
	rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return r.ciphers[r.current].Seal(sealed, nonce, text, bound(name, sealed))
}

// Open gives the text of a record. Errors: ErrNotSealed, *UnknownKeyError, ErrDamaged.
func (k *Keys) Open(name string, sealed []byte) ([]byte, error) {
	if !Sealed(sealed) {
		if k.unsealed.Load() {
			return sealed, nil
		}
		return nil, ErrNotSealed
	}
	if len(sealed) < Overhead {
		return nil, ErrDamaged
	}
	c := k.ring.Load().ciphers[idOf(sealed)]
	if c == nil {
		return nil, &UnknownKeyError{idOf(sealed)}
	}
	text, err := c.Open(nil, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], bound(name, sealed))
	if err != nil {
		return nil, ErrDamaged
	}
	return text, nil
}

// bound is what a record is bound to: how it was sealed, and its name.
func bound(name string, sealed []byte) []byte {
	return append(append(make([]byte, 0, headerSize+len(name)), sealed[:headerSize]...), name...)
}

// Sealed reports whether a record is sealed, with whatever key.
func Sealed(record []byte) bool { return len(record) > 0 && record[0] == version }

// SealedWith gives the ID of the key that a record was sealed with; false for what is not sealed.
func SealedWith(record []byte) (id ID, ok bool) {
	if !Sealed(record) || len(record) < headerSize {
		return ID{}, false
	}
	return idOf(record), true
}

func idOf(sealed []byte) ID { return ID(sealed[1:headerSize]) }
