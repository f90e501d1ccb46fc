package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// upgrade makes of a store of format 1 a new one. There the log has events alone, and values only their revision before them: when the
// commits were made is not known, and they count as made now.
func upgrade(path, made string) error {
	old, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return err
	}
	err = create(made)
	if err == nil {
		err = old.View(func(from *bbolt.Tx) error {
			return fill(made, func(to *bbolt.Tx) error { return convert(from, to) })
		})
	}
	return errors.Join(err, old.Close())
}

func convert(from, to *bbolt.Tx) error {
	c, err := begin(to, time.Now())
	if err != nil {
		return err
	}
	err = from.Bucket(logBucket).ForEach(func(k, event []byte) error {
		c.state.revision, c.state.total = numberOf(k), c.state.total+entrySize(event)
		return c.log.Put(logEntry{revision: c.state.revision, time: c.now, total: c.state.total, event: event}.encode())
	})
	if err != nil {
		return err
	}
	err = from.Bucket(keysBucket).ForEach(func(k, v []byte) error {
		stored := frame(k, numberOf(v), v[8:])
		c.state.sum += checksumOf(stored)
		return c.keys.Put(k, stored)
	})
	if err != nil {
		return err
	}
	return c.meta.Put(stateKey, c.state.encode())
}
