package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/internal/durable"
)

// unsealedLine says in a key file that the store may have records which are not sealed.
const unsealedLine = "unsealed"

const fileHead = "# Keys of the store of a config-server: the first seals, all open. Without them nothing of it can be read.\n" +
	"# Keep a copy, and not where the store or its backups are.\n"

// File is what a key file says. Its lines are keys, the one that seals first; empty lines and those that begin with # mean nothing.
type File struct {
	Keys []Key
	// Unsealed: records that are not sealed are taken as they are, until all were sealed. It is the line "unsealed", which is
	// there when the file was made for a store that had records. Otherwise they are refused: somebody else may have put them there.
	Unsealed bool
}

// ReadFile reads a key file. Errors name lines and never show what is in them. A file that everybody can read is refused.
func ReadFile(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return File{}, fmt.Errorf("%s: its mode is %#o: everybody may use the keys", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return File{}, err
	}
	f, err := parseFile(text)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func parseFile(text []byte) (f File, err error) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		word := strings.TrimSpace(string(line))
		switch {
		case word == "" || word[0] == '#':
			continue
		case word == unsealedLine:
			f.Unsealed = true
			continue
		}
		key, err := ParseKey(word)
		if err == nil && slices.Contains(f.Keys, key) {
			err = errors.New("is on an earlier line, too")
		}
		if err != nil {
			return File{}, fmt.Errorf("line %d: %w", number, err)
		}
		f.Keys = append(f.Keys, key)
	}
	if len(f.Keys) == 0 {
		return File{}, errors.New("has no key")
	}
	return f, nil
}

func (f File) text() []byte {
	text := []byte(fileHead)
	if f.Unsealed {
		text = append(text, unsealedLine+"\n"...)
	}
	for _, key := range f.Keys {
		text = append(text, key.Text()+"\n"...)
	}
	return text
}

// MakeFile makes a key file with a new key, mode 0600. One that is there already is an error: fs.ErrExist.
func MakeFile(path string, unsealed bool) (File, error) {
	f := File{Keys: []Key{NewKey()}, Unsealed: unsealed}
	return f, durable.Replace(path, func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return f.text(), nil
	})
}

// Rotate puts a new key before the others of a file. Whoever uses the file seals with it, and still opens what the others sealed.
func Rotate(path string) (f File, err error) {
	if _, err := ReadFile(path); err != nil {
		return f, err
	}
	return f, durable.Replace(path, func(old []byte) ([]byte, error) {
		if f, err = parseFile(old); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		f.Keys = slices.Insert(f.Keys, 0, NewKey())
		return f.text(), nil
	})
}

// Save writes a key file as a whole, with mode 0600 where there was none.
func (f File) Save(path string) error {
	return durable.Replace(path, func([]byte) ([]byte, error) { return f.text(), nil })
}

// Keep puts keys behind the others of a file, in so far as it does not have them, and answers what it has then.
func Keep(path string, keys ...Key) (f File, err error) {
	return f, durable.Replace(path, func(old []byte) ([]byte, error) {
		if f, err = parseFile(old); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, key := range keys {
			if !slices.Contains(f.Keys, key) {
				f.Keys = append(f.Keys, key)
			}
		}
		return f.text(), nil
	})
}

// errKept ends a change of a file that is not made.
var errKept = errors.New("the file stays as it is")

// Retire leaves the first key of a file alone: all is sealed with it. It tells whether others were there. A file that has another first key by now stays as it is.
func Retire(path string, sealed ID) (retired bool, err error) {
	err = durable.Replace(path, func(old []byte) ([]byte, error) {
		f, err := parseFile(old)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if f.Keys[0].ID() != sealed || len(f.Keys) == 1 && !f.Unsealed {
			return nil, errKept
		}
		return File{Keys: f.Keys[:1]}.text(), nil
	})
	if errors.Is(err, errKept) {
		return false, nil
	}
	return err == nil, err
}
