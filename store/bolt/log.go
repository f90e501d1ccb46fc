package bolt

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vmexecutor/config-server/store"
)

// logEntry is a commit in the log. What it takes to know how long and how large a part of the log is stands in its first and
// last entry.
type logEntry struct {
	revision uint64
	time     time.Time // of the commit, by the clock of the machine
	total    int64     // bytes that all commits up to this one took in the log
	event    []byte
}

// entryHead is what stands before an event: time, total, and a checksum.
const entryHead = 8 + 8 + 4

// entrySize is what an event takes in the log, its key included.
func entrySize(event []byte) int64 { return int64(8 + entryHead + len(event)) }

// number is a revision as a key: its order is that of its bytes.
func number(revision uint64) []byte { return binary.BigEndian.AppendUint64(nil, revision) }

func (l logEntry) encode() (k, v []byte) {
	k = number(l.revision)
	v = make([]byte, 0, entryHead+len(l.event))
	v = binary.BigEndian.AppendUint64(v, uint64(l.time.UnixMilli()))
	v = binary.BigEndian.AppendUint64(v, uint64(l.total)) //nolint:gosec // never negative
	v = binary.BigEndian.AppendUint32(v, checksum(k, v, l.event))
	return k, append(v, l.event...)
}

// decodeEntry reads an entry. The event is not copied.
func decodeEntry(k, v []byte) (logEntry, error) {
	if len(k) != 8 || len(v) < entryHead || checksum(k, v[:16], v[entryHead:]) != binary.BigEndian.Uint32(v[16:]) {
		return logEntry{}, fmt.Errorf("%w: an entry of its log is not what was written", store.ErrDamaged)
	}
	return logEntry{
		revision: binary.BigEndian.Uint64(k),
		time:     time.UnixMilli(int64(binary.BigEndian.Uint64(v))), //nolint:gosec // as it was encoded
		total:    int64(binary.BigEndian.Uint64(v[8:])),             //nolint:gosec // as it was encoded
		event:    v[entryHead:],
	}, nil
}
