package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmexecutor/config-server/store/seal"
)

// ErrNoRewrite: the engine cannot put its values into another form.
var ErrNoRewrite = errors.New("the engine cannot rewrite what it stores")

// Reseal seals with the present key whatever another one sealed, or none, and answers how many records these were. The keys must open
// them all. Nobody notices otherwise: it is no change. Errors: ErrNoRewrite, and those of a record that does not open, which it names.
func (s *Store) Reseal(ctx context.Context) (int, error) {
	engine, ok := s.engine.(Rewriter)
	if !ok {
		return 0, ErrNoRewrite
	}
	s.sealing.Lock() // a change that began with an earlier key is stored from here on, and those to come have the present one
	current := s.records.keys.Current()
	s.sealing.Unlock()
	stale := func(_ string, value []byte) bool {
		id, sealed := seal.SealedWith(value)
		return sealed && id != current || isUnsealed(value)
	}
	return engine.Rewrite(ctx, stale, func(key string, value []byte) ([]byte, error) {
		text, err := s.records.keys.Open(key, value)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", key, err)
		}
		return s.records.keys.Seal(key, text), nil
	})
}

// isUnsealed reports whether a value is a record that is not sealed. What is stored beside records are names, none of which begins so.
func isUnsealed(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// Seals tells how the records of an engine are sealed: how many with which key, and how many with none.
func Seals(snap Snapshot) (with map[seal.ID]int, unsealed int, err error) {
	with = map[seal.ID]int{}
	for kv, err := range snap.Range("") {
		if err != nil {
			return nil, 0, err
		}
		if id, sealed := seal.SealedWith(kv.Value); sealed {
			with[id]++
		} else if isUnsealed(kv.Value) {
			unsealed++
		}
	}
	return with, unsealed, nil
}
