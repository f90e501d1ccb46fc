package extraconfig_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// vector is what an independent implementation of the format makes of an executor.
type vector struct {
	name     string
	executor *executor.ExecutorConfig
	keys     map[string]string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) != 24 {
		t.Fatalf("%d vectors: %v", len(files), err)
	}
	var all []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Executor *executor.ExecutorConfig
			Keys     map[string]string
		}
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		v.Executor.Canonicalize()
		all = append(all, vector{strings.TrimSuffix(filepath.Base(file), ".json"), v.Executor, v.Keys})
	}
	return all
}

func newCodec(t testing.TB) *extraconfig.Codec[executor.ExecutorConfig] {
	t.Helper()
	c, err := extraconfig.New[executor.ExecutorConfig]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withoutKeyless drops the fields that have no key: the notes of execs, and references.
func withoutKeyless(c *executor.ExecutorConfig) *executor.ExecutorConfig {
	c = c.Clone()
	for _, s := range c.Execs {
		s.Notes = ""
	}
	for _, e := range c.Networks {
		e.NetworkRef = ""
	}
	return c
}

func TestVectors(t *testing.T) {
	c := newCodec(t)
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			keys, err := c.Encode(v.executor)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys.Map(); !maps.Equal(got, v.keys) {
				for key, want := range v.keys {
					if value, ok := got[key]; !ok || value != want {
						t.Errorf("%s: %q, want %q", key, value, want)
					}
				}
				for key := range got {
					if _, ok := v.keys[key]; !ok {
						t.Errorf("%s should not be there", key)
					}
				}
			}
			decoded, err := c.Decode(v.keys)
			if err != nil {
				t.Fatal(err)
			}
			decoded.Canonicalize()
			if want := withoutKeyless(v.executor); !reflect.DeepEqual(decoded, want) {
				got, _ := json.MarshalIndent(decoded, "", " ")
				wanted, _ := json.MarshalIndent(want, "", " ")
				t.Errorf("decoded\n%s\nwant\n%s", got, wanted)
			}
			for key := range v.keys {
				if !c.Owns(key) {
					t.Errorf("%s is not ours", key)
				}
			}
			parsed := c.Parse(v.keys)
			for p := range keys.All() {
				q, ok := parsed.Get(p.Key)
				if !ok || q.Field() != p.Field() || q.Scope() != p.Scope() || q.NonPersistent() != p.NonPersistent() || q.Secret() != p.Secret() {
					t.Errorf("%s is parsed as %s, and is %s", p.Key, q.Field(), p.Field())
				}
			}
			if !maps.Equal(parsed.Fields(), keys.Fields()) || parsed.Digest() != keys.Digest() || !extraconfig.Diff(parsed, keys).Empty() {
				t.Error("what was parsed differs from what was encoded")
			}
		})
	}
}
