package app

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// TestRestoreOfAnOlderFormat: a backup that was made before there were checksums, and keys, is restored as any other.
func TestRestoreOfAnOlderFormat(t *testing.T) {
	backup := filepath.Join(t.TempDir(), "backup")
	db, err := bbolt.Open(backup, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	revision := binary.BigEndian.AppendUint64(nil, 1)
	err = db.Update(func(tx *bbolt.Tx) (err error) {
		put := func(bucket, key string, value []byte) {
			b, bad := tx.CreateBucketIfNotExists([]byte(bucket))
			if err = errors.Join(err, bad); err == nil {
				err = b.Put([]byte(key), value)
			}
		}
		put("meta", "format", []byte("1"))
		put("meta", "revision", revision)
		put("keys", "executor/web", append(revision, `{"format":1,"config":{"id":"web"}}`...))
		put("log", string(revision), []byte("{}"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	o := Options{DataDir: t.TempDir()}
	if c, err := o.Restore(backup, false); err != nil || c.Revision < 1 {
		t.Errorf("%v %v", c, err)
	}
}
