package executor

import (
	"fmt"
	"log/slog"
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

// What follows has secrets somewhere in it. Where it is printed they keep themselves out, but a log in JSON would have it as a document has it.

// LogValue is String: a log has a source without its credentials.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// LogValue is String: a log has a URL without its user information.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// LogValue names the mount's source and path.
func (m MountSpec) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("source", m.Source), slog.String("path", m.Path))
}

// LogValue names the executor.
func (c ExecutorConfig) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", c.ID), slog.String("name", c.Name))
}

// LogValue names what serves the VM.
func (m ContainerVM) LogValue() slog.Value {
	return slog.GroupValue(slog.String("version", m.Version), slog.Any("interaction", m.Interaction))
}
