// Package guest is the channel between the server and the software inside one VM, for VMs without
// guestinfo: JSON-RPC 2.0, one message a line, over any stream of bytes. The guest takes snapshots of what it
// may see, sets the keys that it owns, and is told what changed. docs/guest-protocol.md is the same for those who
// write a guest in another language.
//
// Both ends are here: Server is the host's, Client the guest's. A driver of VMs (vm/qemu) imports it, and
// what runs in a guest (cmd/tether). It imports extraconfig and executor, and nothing of the server.
package guest

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/vmexecutor/config-server/executor"
)

// Protocol is the version of the protocol that this package speaks.
const Protocol = 1

// MaxLine is the longest message in bytes, its newline not counted: what 1 MiB of keys and values needs when each byte
// of a value is one that JSON escapes, or each value is empty.
const MaxLine = 3 << 20

// PortName is the name that the virtio-serial port has unless one chooses another.
const PortName = "vmexecutor.tether.0"

// Hello is what a guest says first, on a new stream and after it booted.
type Hello struct {
	// Protocol is the version that the guest speaks.
	Protocol int `json:"protocol"`
	// Agent names the guest's software and its version, for people: "tether/1.2". At most 128 bytes.
	Agent string `json:"agent"`
	// Boot is another one after each boot of the guest, and the same until the next: Linux has it in
	// /proc/sys/kernel/random/boot_id. 1 to 128 visible ASCII characters.
	Boot string `json:"boot"`
	// Client tells one program of the guest from another, and is the same when that says hello again: at most 128 visible ASCII
	// characters, random ones. With it nothing that was sent on an earlier connection, and is read late, can undo what was sent since.
	Client string `json:"client,omitempty"`
}

// Welcome answers a Hello.
type Welcome struct {
	// Protocol is the version that both speak from now on. The Server fills it in.
	Protocol int `json:"protocol"`
	// Server names the server's software and its version, for people.
	Server string `json:"server"`
	// Executor is the id of the executor that this VM is.
	Executor string `json:"executor"`
	// Key opens the executor's secret values: 32 bytes. It holds for the session; a server that has another one for the VM
	// ends the connection.
	Key executor.Secret `json:"key,omitempty"`
	// Revision is that of the keys when the guest was welcomed.
	Revision uint64 `json:"revision"`
	// Limits are what the server takes from this guest. The Server fills them in.
	Limits Limits `json:"limits"`
}

// Format is LogValue for every verb: what a pointer points to is shown by package fmt where a verb does not fit.
func (w Welcome) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, w.LogValue()) }

// LogValue keeps the key out of logs.
func (w Welcome) LogValue() slog.Value {
	return slog.GroupValue(slog.String("server", w.Server), slog.String("executor", w.Executor), slog.Uint64("revision", w.Revision))
}

// Pair is a key and its value as they travel: an empty value is "<nil>", a secret one is sealed.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// String is the key alone: some values are secret.
func (p Pair) String() string { return p.Key }

// Format keeps the value out of every verb.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.Key)) }

// LogValue keeps the value out of logs.
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.Key) }

// Snapshot is all that the guest may see, or the part that it asked for, at one revision.
type Snapshot struct {
	Revision uint64 `json:"revision"`
	// Keys are ordered by key, bytewise.
	Keys []Pair `json:"keys"`
	// Missing are the keys that were asked for and are not there.
	Missing []string `json:"missing,omitempty"`
}

// String is how much there is of it.
func (s Snapshot) String() string {
	return fmt.Sprintf("%d keys at revision %d", len(s.Keys), s.Revision)
}

// Format keeps the values out of every verb, those of a View too.
func (s Snapshot) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue keeps the values out of logs.
func (s Snapshot) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Change says that keys of the guest changed. It has no values: who wants them takes a snapshot, and
// sees no half of a change.
type Change struct {
	// Revision is that at which the keys are as they are now.
	Revision uint64 `json:"revision"`
	// Keys are the names of what was set or deleted, ordered.
	Keys []string `json:"keys,omitempty"`
	// All is there instead of names when any key may have changed.
	All bool `json:"all,omitzero"`
}

// Refusal is the error of a write that is not allowed, or a message that breaks a limit. It is final: the same again is
// refused again. It never holds a value.
type Refusal struct {
	Key    string // the first key that is concerned, if one is
	Reason string // for the guest, the log and the audit
}

func (r *Refusal) Error() string {
	if r.Key == "" {
		return r.Reason
	}
	return r.Key + ": " + r.Reason
}

// Limits are what a server takes from one VM, whatever connections it makes.
type Limits struct {
	// Value is the longest value in bytes, as it travels.
	Value int `json:"value"`
	// Keys is the largest number of keys in one set or get, at most 1024.
	Keys int `json:"keys"`
	// Bytes is the size of all keys and values of one set.
	Bytes int `json:"bytes"`
	// Writes is how many sets and hellos there may be in a second in the long run, and Burst how many at once. What comes
	// sooner is refused, with the time to wait.
	Writes float64 `json:"writes"`
	Burst  int     `json:"burst"`
	// Requests is how many requests there may be in a second in the long run, and Traffic how many bytes both ways. What is more
	// is read later.
	Requests float64 `json:"requests"`
	Traffic  int     `json:"traffic"`
}

// DefaultLimits are those that the zero value of an Options means.
var DefaultLimits = Limits{Value: 64 << 10, Keys: 256, Bytes: 1 << 20, Writes: 20, Burst: 100, Requests: 100, Traffic: 1 << 20}

// orDefault puts defaults in place of zeros.
func (l Limits) orDefault() Limits {
	d := DefaultLimits
	return Limits{
		Value: cmp.Or(l.Value, d.Value), Keys: min(cmp.Or(l.Keys, d.Keys), maxList), Bytes: cmp.Or(l.Bytes, d.Bytes),
		Writes: cmp.Or(l.Writes, d.Writes), Burst: cmp.Or(l.Burst, d.Burst),
		Requests: cmp.Or(l.Requests, d.Requests), Traffic: cmp.Or(l.Traffic, d.Traffic),
	}
}
