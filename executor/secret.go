package executor

import (
	"fmt"
	"log/slog"
	"strings"
)

// Secret is what nobody is to read who has no business with it. It does not print: documents and records have it in base64, as any
// []byte, and whoever needs its bytes converts it.
type Secret []byte

// concealed is all that a secret says of itself.
const concealed = "[secret]"

func (Secret) String() string { return concealed }

// GoString keeps the secret out of %#v.
func (Secret) GoString() string { return concealed }

// Format keeps the secret out of every other verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(concealed)) }

// LogValue keeps the secret out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(concealed) }

// What follows has secrets somewhere in it. Package fmt shows what a pointer in a struct points to where a verb does not fit, without asking the
// parts how they print, and a log in JSON has a struct as a document has it: so each says itself how it prints.

// Format is String, whatever the verb.
func (s Source) Format(f fmt.State, verb rune) { formatText(f, verb, s.String()) }

// LogValue is String: a log has a source without its credentials.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Format is String, whatever the verb.
func (u URL) Format(f fmt.State, verb rune) { formatText(f, verb, u.String()) }

// LogValue is String: a log has a URL without its user information.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

func formatText(f fmt.State, verb rune, text string) {
	if !strings.ContainsRune("qxX", verb) {
		verb = 's'
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}

// Format shows the fields with %v, and otherwise what LogValue does.
func (m MountSpec) Format(f fmt.State, verb rune) {
	type fields MountSpec
	formatFields(f, verb, fields(m), m.LogValue())
}

// LogValue names the mount's source and path.
func (m MountSpec) LogValue() slog.Value {
	return slog.GroupValue(slog.String("source", m.Source.String()), slog.String("path", m.Path))
}

// Format shows the fields with %v, and otherwise what LogValue does.
func (c ExecutorConfig) Format(f fmt.State, verb rune) {
	type fields ExecutorConfig
	formatFields(f, verb, fields(c), c.LogValue())
}

// LogValue names the executor.
func (c ExecutorConfig) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", c.ID), slog.String("name", c.Name))
}

// Format shows the fields with %v, and otherwise what LogValue does.
func (m ContainerVM) Format(f fmt.State, verb rune) {
	type fields ContainerVM
	formatFields(f, verb, fields(m), m.LogValue())
}

// LogValue names what serves the VM.
func (m ContainerVM) LogValue() slog.Value {
	return slog.GroupValue(slog.String("version", m.Version), slog.String("interaction", m.Interaction.String()))
}

func formatFields(f fmt.State, verb rune, fields any, short slog.Value) {
	if verb == 'v' {
		_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields)
	} else {
		_, _ = fmt.Fprint(f, short)
	}
}
