package guest

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// codec is compiled when it is first used.
var codec = sync.OnceValues(extraconfig.New[executor.ExecutorConfig])

// View is a Snapshot with what it takes to read it.
type View struct {
	Snapshot
	key executor.Secret
}

// Value is one key as a reader sees it.
type Value struct {
	Key string
	// Text is plain: empty for an empty value, opened for a secret one.
	Text   string
	Secret bool
}

// String is the key alone: some values are secret.
func (v Value) String() string { return v.Key }

// Format keeps the text out of every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.Key)) }

// LogValue keeps the text out of logs.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.Key) }

// Values are all keys in order. The error names the secrets that do not open, which are left out.
func (v View) Values() ([]Value, error) {
	c, err := codec()
	if err != nil {
		return nil, err
	}
	keys := c.Parse(v.raw())
	var faults []error
	values := make([]Value, 0, len(v.Keys))
	for _, p := range v.Keys {
		known, ok := keys.Get(p.Key)
		if !ok || !known.Secret() {
			values = append(values, Value{Key: p.Key, Text: extraconfig.Unescape(p.Value)})
			continue
		}
		text, err := known.Open(v.key)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.Key, err))
			continue
		}
		values = append(values, Value{Key: p.Key, Text: text, Secret: true})
	}
	return values, errors.Join(faults...)
}

// Config is the executor that the keys mean. Its error is extraconfig.Errors and names what did not parse, or what only half
// of it came; all else is there.
func (v View) Config() (*executor.ExecutorConfig, error) {
	c, err := codec()
	if err != nil {
		return nil, err
	}
	var opts []extraconfig.Option
	if len(v.key) > 0 {
		opts = append(opts, extraconfig.WithSecretKey(v.key))
	}
	return c.Decode(v.raw(), opts...)
}

// raw gives the keys as they travel; secrets are sealed.
func (v View) raw() map[string]string {
	m := make(map[string]string, len(v.Keys))
	for _, p := range v.Keys {
		m[p.Key] = p.Value
	}
	return m
}
