package store

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/v1" // as encoding/json in every respect, but decodes in two thirds of the time

	"github.com/vmexecutor/config-server/executor"
)

// recordFormat is the newest format of records that this program writes and reads.
const recordFormat = 1

// record is what is stored under a key. Each says which format it has, so that a program which is older than its
// data does not misread it.
type record interface{ format() *int }

type header struct {
	Format int `json:"format"`
}

func (h *header) format() *int { return &h.Format }

// encode gives what is stored of a record under a key.
func (c *recordCodec) encode(key string, r record) ([]byte, error) {
	*r.format() = recordFormat
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record %s: %w", key, err)
	}
	return c.keys.Seal(key, text), nil
}

// decode reads a record, and refuses what was not sealed under its key.
func (c *recordCodec) decode(kv KV, r record) error {
	text, err := c.keys.Open(kv.Key, kv.Value)
	if err != nil {
		return fmt.Errorf("record %s: %w", kv.Key, err)
	}
	err = json.Unmarshal(text, r)
	format := *r.format()
	if err != nil { // a newer format need not even fit
		var h header
		if json.Unmarshal(text, &h) == nil {
			format = h.Format
		}
	}
	if format > recordFormat {
		return fmt.Errorf("record %s has format %d: %w", kv.Key, format, ErrFormat)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", kv.Key, err)
	}
	return nil
}

// A revision inside a record is 0 when it is that of the record's own commit, which is not known when the record is written.

type executorRecord struct {
	header
	Config         *executor.ExecutorConfig `json:"config"` // without what follows a container network
	ConfigRevision uint64                   `json:"configRevision,omitempty"`
	Entries        map[string]entryRevision `json:"entries,omitempty"` // by map and name: sessions/web
	SecretKey      executor.Secret          `json:"secretKey"`
}

// entryRevision is that of one entry of a map of an executor.
type entryRevision struct {
	Revision       uint64 `json:"revision,omitempty"`
	ConfigRevision uint64 `json:"configRevision,omitempty"`
}

type networkRecord struct {
	header
	Config      *executor.ContainerNetwork `json:"config"`
	Annotations map[string]string          `json:"annotations,omitempty"`
	CreateTime  time.Time                  `json:"createTime"`
}

type bindingRecord struct {
	header
	Driver   string               `json:"driver"`
	Ref      string               `json:"ref"`
	VM       executor.ContainerVM `json:"vm"`
	TakeOver bool                 `json:"takeOver,omitempty"`
	Instance string               `json:"instance,omitempty"`
	Base     map[string]string    `json:"base"` // null before the first push
	Seen     Sighting             `json:"seen,omitzero"`
	Earlier  map[string][]string  `json:"earlier,omitempty"`
	Offered  map[string]string    `json:"offered,omitempty"`
	Revision uint64               `json:"revision,omitempty"` // of the last change by a client
}

// bootsRecord tells which boot of a VM each exec of an executor was delivered in.
type bootsRecord struct {
	header
	Boots map[string]string `json:"boots"`
}

// memoryRecord is what the last binding of an executor left for the next one: the VM may be the same, and bring old values back.
type memoryRecord struct {
	header
	Earlier map[string][]string `json:"earlier"`
}

type unbindingRecord struct {
	header
	Executor string `json:"executor"`
	Driver   string `json:"driver"`
	Ref      string `json:"ref"`
	Instance string `json:"instance"`
}

// or gives a revision of a record whose commit was at.
func or(revision, at uint64) uint64 {
	if revision == 0 {
		return at
	}
	return revision
}
