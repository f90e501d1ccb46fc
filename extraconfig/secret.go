package extraconfig

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"golang.org/x/crypto/nacl/secretbox"
)

const (
	secretKeySize = 32
	nonceSize     = 24
)

var errSecret = errors.New("is not a secret of this key and executor")

// seal gives base64 of a nonce and the NaCl secretbox that it begins. The nonce is made from the name of
// the key and the text, so that the same text at the same key always gives the same value, and nothing
// can be moved to another key.
func seal(secretKey []byte, key, plain string) string {
	var k [secretKeySize]byte
	copy(k[:], secretKey)
	nonce := nonceOf(secretKey, key, []byte(plain))
	return base64Text.EncodeToString(secretbox.Seal(nonce[:], []byte(plain), &nonce, &k))
}

// open undoes seal. Its error is the same for every fault.
func open(secretKey []byte, key, value string) (string, error) {
	raw, err := base64Text.DecodeString(value)
	if err != nil || len(raw) < nonceSize+secretbox.Overhead {
		return "", errSecret
	}
	var k [secretKeySize]byte
	copy(k[:], secretKey)
	nonce := [nonceSize]byte(raw[:nonceSize])
	plain, ok := secretbox.Open(nil, raw[nonceSize:], &nonce, &k)
	if !ok {
		return "", errSecret
	}
	if want := nonceOf(secretKey, key, plain); !hmac.Equal(want[:], nonce[:]) {
		return "", errSecret
	}
	return string(plain), nil
}

func nonceOf(secretKey []byte, key string, plain []byte) [nonceSize]byte {
	mac := hmac.New(sha256.New, secretKey)
	mac.Write([]byte(key))
	mac.Write([]byte{0})
	mac.Write(plain)
	return [nonceSize]byte(mac.Sum(nil)[:nonceSize])
}

// Open gives the plain text of a secret pair, and of any other its value. The key is the one that it was sealed with.
func (p Pair) Open(secretKey []byte) (string, error) {
	switch {
	case !p.Secret():
		return p.Value, nil
	case len(secretKey) != secretKeySize:
		return "", errNoSecretKey
	}
	return open(secretKey, p.Key, p.Value)
}
