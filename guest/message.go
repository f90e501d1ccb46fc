package guest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The methods of requests, and the one notification.
const (
	methodHello     = "hello"
	methodSnapshot  = "snapshot"
	methodGet       = "get"
	methodSet       = "set"
	methodSubscribe = "subscribe"
	methodPing      = "ping"
	methodChanged   = "changed"
)

const (
	version = "2.0" // of JSON-RPC
	maxID   = 64    // bytes of a request's id
	maxText = 256   // bytes of a message that an error carries
	maxList = 1024  // elements of a list in a request
)

// The codes of errors. Those below zero are JSON-RPC's own (jsonrpc.org/specification, section 5.1).
const (
	codeParse       = -32700
	codeRequest     = -32600
	codeMethod      = -32601
	codeParams      = -32602
	codeInternal    = -32603
	codeRefused     = 1 // final: a *Refusal
	codeLimited     = 2 // too soon: again after data.retryAfter seconds
	codeUnavailable = 3 // not at the moment: again, later
	codeProtocol    = 4 // no common version
)

// Error is an answer that says why a request has no result.
type Error struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    ErrorData `json:"data,omitzero"`
	byVM    bool      // the VM refused it
}

// ErrorData is what an error says besides.
type ErrorData struct {
	// Key is the key that a refusal is about.
	Key string `json:"key,omitempty"`
	// RetryAfter is the time in seconds after which a request that came too soon may come again.
	RetryAfter float64 `json:"retryAfter,omitzero"`
	// Protocol is the version that the server speaks, where it does not speak the guest's.
	Protocol int `json:"protocol,omitzero"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

func errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: clip(fmt.Sprintf(format, args...))}
}

func refused(r *Refusal) *Error {
	return &Error{Code: codeRefused, Message: clip(r.Reason), Data: ErrorData{Key: clip(r.Key)}}
}

// clip keeps what an error quotes of a message short.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// message is any of JSON-RPC's: a request has a method and an id, a notification a method, an answer an id.
type message struct {
	JSONRPC string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id,omitempty"`
	Method  string         `json:"method,omitempty"`
	Params  jsontext.Value `json:"params,omitempty"`
	Result  jsontext.Value `json:"result,omitempty"`
	Error   *Error         `json:"error,omitempty"`
}

// parse reads one line. Its error is what an answer says; the message then has the id, if that could be read.
func parse(line []byte, opts ...json.Options) (message, *Error) {
	var m message
	switch line = bytes.TrimSpace(line); {
	case len(line) > 0 && line[0] == '[':
		return m, errorf(codeRequest, "batches are not supported: send each request on a line of its own")
	case len(line) == 0 || line[0] != '{':
		return m, errorf(codeParse, "a message is a JSON object on one line")
	}
	if err := json.Unmarshal(line, &m, opts...); err != nil {
		if jsontext.Value(line).IsValid() {
			return message{}, errorf(codeRequest, "no JSON-RPC 2.0 message: %s", reason(err))
		}
		return message{}, errorf(codeParse, "not JSON: %s", reason(err))
	}
	switch {
	case m.JSONRPC != version:
		return m, errorf(codeRequest, `jsonrpc must be "2.0"`)
	case len(m.ID) > maxID:
		return message{}, errorf(codeRequest, "an id has at most %d bytes", maxID)
	}
	switch m.ID.Kind() {
	case '"', '0', 0, 'n':
		return m, nil
	default:
		return message{}, errorf(codeRequest, "an id is a string or a number")
	}
}

// anonymous reports whether a message has no id: nobody waits for its answer.
func (m *message) anonymous() bool { return len(m.ID) == 0 || m.ID.Kind() == 'n' }

// reason is what JSON's error says, less where in Go it went wrong.
func reason(err error) string {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		what := "does not fit"
		if e.Err != nil {
			what = e.Err.Error()
		}
		if e.JSONPointer != "" {
			return string(e.JSONPointer) + ": " + what
		}
		return what
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// strict refuses what nobody reads: a member that is misspelt must not pass silently.
var strict = json.RejectUnknownMembers(true)

// params reads the parameters of a request, which are an object.
func (m *message) params(v any, opts ...json.Options) *Error {
	text := m.Params
	if len(text) == 0 {
		text = jsontext.Value("{}")
	}
	if text.Kind() != '{' {
		return errorf(codeParams, "params must be an object")
	}
	switch err := json.Unmarshal(text, v, opts...); {
	case errors.Is(err, errList):
		return refused(&Refusal{Reason: errList.Error()})
	case err != nil:
		return errorf(codeParams, "params: %s", reason(err))
	}
	return nil
}

var errList = errors.New("too many keys")

// list is one of a request. What has too many elements is refused before it is held.
type list[T any] []T

func (l *list[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		return errors.New("must be a list")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if len(*l) == maxList {
			return errList
		}
		var one T
		if err := json.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		*l = append(*l, one)
	}
	_, err := d.ReadToken()
	return err
}

// outgoing is a message before it is text.
type outgoing struct {
	fresh bool // a newline goes before it, which ends what an earlier connection may have left half written

	JSONRPC string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id,omitzero"`
	Method  string         `json:"method,omitzero"`
	Params  any            `json:"params,omitzero"`
	Result  any            `json:"result,omitzero"`
	Error   *Error         `json:"error,omitzero"`
}

// appendLine writes a message and its newline to b.
func (o outgoing) appendLine(b *bytes.Buffer) error {
	o.JSONRPC = version
	if err := json.MarshalWrite(b, o); err != nil {
		return err
	}
	return b.WriteByte('\n')
}
