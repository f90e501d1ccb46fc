package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-openapi/runtime"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/models"
)

// errNotObject refuses null as well, which would otherwise be an empty document.
var errNotObject = errors.New("must be a JSON object")

// errLongName is told with the validator's other refusals of names, though before them.
var errLongName = fmt.Errorf("must be named in at most %d bytes", executor.MaxName)

// strictJSON reads one JSON object. It refuses what encoding/json would change silently: fields that are unknown or
// in another case, names that appear twice, invalid UTF-8, and whatever follows the object.
var strictJSON = runtime.ConsumerFunc(func(r io.Reader, v any) error {
	d := jsontext.NewDecoder(r)
	if kind := d.PeekKind(); kind != '{' && kind != 0 { // 0: the decoder says what is wrong
		return errNotObject
	}
	if err := json.UnmarshalDecode(d, v, json.RejectUnknownMembers(true), json.WithUnmarshalers(properEntries)); err != nil {
		if err == io.EOF { //nolint:errorlint // nothing at all: the runtime compares, too
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder's own word for the end
		if err == nil {
			err = errors.New("has something after the JSON object")
		}
		return err
	}
	return nil
})

// properEntries refuses null as an entry of a map or list of objects: whether that means an empty one or none is anybody's
// guess, and the generated validation does not expect it. It refuses long names of entries as well: each fault that is found
// in an entry repeats its name, and there may be very many.
var properEntries = json.JoinUnmarshalers(
	json.UnmarshalFromFunc(proper[*models.Session]),
	json.UnmarshalFromFunc(proper[*models.Mount]),
	json.UnmarshalFromFunc(proper[*models.Endpoint]),
	json.UnmarshalFromFunc(proper[*models.ExitLog]),
)

func proper[T any](d *jsontext.Decoder, _ *T) error {
	switch {
	case d.PeekKind() == 'n':
		return errNotObject
	case len(d.StackPointer().LastToken()) > executor.MaxName:
		return errLongName
	}
	return errors.ErrUnsupported // go on as usual
}

// knownFields refuses a merge patch that names a field which a document of v's type does not have. What is null in it goes, and so would a
// misspelt name before anybody read the result.
func knownFields(patch []byte, v any) error {
	return json.Unmarshal(patch, v, json.RejectUnknownMembers(true))
}

// plainJSON writes JSON with a newline behind it. A client that has gone is nobody's failure. Problem documents quote what clients
// sent, and what of that is not UTF-8 becomes U+FFFD.
var plainJSON = runtime.ProducerFunc(func(w io.Writer, v any) error {
	text := answers.Get().(*bytes.Buffer)
	defer func() {
		if text.Cap() <= answerKept {
			text.Reset()
			answers.Put(text)
		}
	}()
	// The encoder itself puts the newline behind it.
	if err := json.MarshalEncode(jsontext.NewEncoder(text, jsontext.AllowInvalidUTF8(true)), v, json.Deterministic(true)); err != nil {
		return err
	}
	_, _ = w.Write(text.Bytes())
	return nil
})

// answerKept is the largest buffer that is used again: a long list's is not.
const answerKept = 64 << 10

// answers are buffers for what is written, which is encoded whole before the first byte of it is.
var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
