package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vmexecutor/config-server/internal/durable"
)

// tokenPrefix lets people, and tools that look for secrets in the wrong places, see what they have in front of them.
const tokenPrefix = "cfgs_"

// tokenHash is what is kept of a token. A token is 256 random bits and nothing that a person thought of: nobody finds it by trying,
// however fast the hash is, so that SHA-256 is right where a password would need a slow one.
type tokenHash [sha256.Size]byte

// hashPrefix says in a token file how a hash was made.
const hashPrefix = "sha256:"

// tokens are the principals of a token file.
type tokens map[tokenHash]Principal

// find gives the principal of a token. How long that takes tells something of the token's hash at most, which is nothing without
// the token: nobody comes nearer to one by trying.
func (t tokens) find(token string) (Principal, error) {
	p, ok := t[sha256.Sum256([]byte(token))]
	if !ok {
		return Principal{}, ErrBadToken
	}
	return p, nil
}

// maxTokenFile is the longest token file, in bytes: a hundred thousand tokens.
const maxTokenFile = 16 << 20

// readTokens reads a token file. Its lines are
//
//	NAME ROLE sha256:HEX
//
// where ROLE is viewer, operator, admin or vm:<executor>, and HEX the SHA-256 of the token. Empty lines and those that begin with #
// mean nothing. Several tokens may have one name: that is how one follows another. Errors name lines and never show what is
// in them: it may be a token, put there by mistake.
func readTokens(path string) (tokens, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("%s: everybody may write to it, and so make tokens", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenFile {
		return nil, fmt.Errorf("%s: has more than %d bytes", path, maxTokenFile)
	}
	return parseTokens(path, text)
}

func parseTokens(path string, text []byte) (tokens, error) {
	t := tokens{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		p, hash, err := parseToken(fields)
		if _, twice := t[hash]; err == nil && twice {
			err = errors.New("the same token is on an earlier line, too")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
		}
		t[hash] = p
	}
	return t, nil
}

func parseToken(fields []string) (p Principal, hash tokenHash, err error) {
	if len(fields) != 3 {
		return p, hash, errors.New("must have three words: the name, the role, and the hash of the token")
	}
	if p, err = NewPrincipal(fields[0], fields[1]); err != nil {
		return p, hash, err
	}
	digits, ok := strings.CutPrefix(fields[2], hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(hash) {
		return p, hash, fmt.Errorf("the third word must be %s and %d hexadecimal digits", hashPrefix, 2*len(hash))
	}
	return p, tokenHash(sum), nil
}

// NewToken makes a token for p and adds its hash to a token file, which is made when there is none (mode 0600). The file is
// replaced as a whole: who reads it sees the new line or does not. It is the only time that the token is seen: nothing keeps it.
func NewToken(path string, p Principal) (token string, err error) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	return token, durable.Replace(path, func(text []byte) ([]byte, error) {
		if _, err := parseTokens(path, text); err != nil {
			return nil, err
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		return fmt.Appendf(text, "%s %s %s%x\n", p.Name, p.RoleText(), hashPrefix, hash), nil
	})
}
