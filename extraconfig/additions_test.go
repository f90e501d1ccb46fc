package extraconfig_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// TestAdditionsGolden has the rows of the table of additions that are about encoding.
func TestAdditionsGolden(t *testing.T) {
	row(t, "additions/bars", &struct {
		Args []string `vic:"0.1" scope:"read-only" key:"Args"`
		One  []string `vic:"0.1" scope:"read-write,non-persistent" key:"one"`
	}{[]string{"a|b", "", "|", "c"}, []string{"|"}})
	row(t, "additions/credentials", &struct {
		With    executor.Source `vic:"0.1" scope:"read-only" key:"with"`
		Without executor.Source `vic:"0.1" scope:"read-only" key:"without"`
	}{
		executor.Source{Scheme: "nfs", Host: "filer", Path: "/x", User: url.UserPassword("us:er", "p@ss/word")},
		executor.Source{Scheme: "nfs", Host: "filer", Path: "/x"},
	})
	row(t, "additions/annotation-keys", &struct {
		Annotations map[string]string `vic:"0.1" scope:"hidden" key:"annotations"`
	}{map[string]string{
		"a|b": "1", "user@host": "2", "x@secret": "3", "50%": "4", "%7C": "5", " \t\n\x00\x7f": "6", "naïve~.*/#": "7", "plain": "8",
	}})
}

type args struct {
	Args []string `vic:"0.1" scope:"read-only" key:"a" json:"args"`
}

const argsKey = "guestinfo.vice./a"

// TestBars: whole elements count only if they are what the joined value was made of.
func TestBars(t *testing.T) {
	c, err := extraconfig.New[args]()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		keys map[string]string
		want []string // nil: an error
	}{
		"as written":              {map[string]string{"": "1", "~": "a|b|c", "|0": "a|b", "|1": "c"}, []string{"a|b", "c"}},
		"cut elsewhere":           {map[string]string{"": "1", "~": "a|b|c", "|0": "a", "|1": "b|c"}, []string{"a", "b|c"}},
		"another element":         {map[string]string{"": "1", "~": "a|b|c", "|0": "a|b", "|1": "d"}, nil},
		"too short":               {map[string]string{"": "1", "~": "a|b|c|d", "|0": "a|b", "|1": "c"}, nil},
		"too long":                {map[string]string{"": "1", "~": "a|b|c", "|0": "a|b", "|1": "c|d"}, nil},
		"one is missing":          {map[string]string{"": "1", "~": "a|b|c", "|0": "a|b"}, nil},
		"none is there":           {map[string]string{"": "0", "~": "a|b"}, nil},
		"not needed, as leftover": {map[string]string{"": "1", "~": "a|b", "|0": "x|y", "|1": "z"}, []string{"a", "b"}},
	} {
		keys := map[string]string{}
		for rest, value := range test.keys {
			keys[argsKey+rest] = value
		}
		v, err := c.Decode(keys)
		if test.want == nil {
			if names(err) != "args" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(v.Args, test.want) {
			t.Errorf("%s: %q, %v", name, v.Args, err)
		}
	}
}

// names lists the fields that could not be decoded.
func names(err error) string {
	var all extraconfig.Errors
	if !errors.As(err, &all) {
		return ""
	}
	var fields []string
	for _, e := range all {
		fields = append(fields, e.Field)
	}
	return strings.Join(fields, " ")
}

// TestFieldsMeet: two fields that would have one key are an error that names both.
func TestFieldsMeet(t *testing.T) {
	c := newCodec(t)
	for _, pair := range [][2]string{{"x", "x.network"}, {"X", "x.network"}, {"a", "A"}} {
		config := &executor.ExecutorConfig{Networks: map[string]*executor.NetworkEndpoint{pair[0]: {}, pair[1]: {}, "other": {}}}
		_, err := c.Encode(config)
		var refused *extraconfig.Error
		if !errors.As(err, &refused) {
			t.Fatalf("%q: %v", pair, err)
		}
		if both := refused.Field + refused.Reason; !strings.Contains(both, "networks."+pair[0]) || !strings.Contains(both, "networks."+pair[1]) || refused.Key == "" {
			t.Errorf("%q: %v", pair, err)
		}
	}
	if _, err := c.Encode(&executor.ExecutorConfig{Networks: map[string]*executor.NetworkEndpoint{"X": {}, "x.y": {}, "Z": {}}}); err != nil {
		t.Errorf("names that only look alike: %v", err)
	}
	if _, err := c.Encode(&executor.ExecutorConfig{Annotations: map[string]string{"Key": "", "key": ""}}); err == nil {
		t.Error("annotation keys that are equal but for case were accepted")
	}
	if _, err := c.Encode(&executor.ExecutorConfig{Annotations: map[string]string{"": ""}}); err == nil {
		t.Error("an empty annotation key was accepted")
	}
	if _, err := c.Encode(&executor.ExecutorConfig{Sessions: map[string]*executor.SessionConfig{"a/b": {}}}); err == nil {
		t.Error("a session id with a slash was accepted")
	}
}

type secrets struct {
	One string `vic:"0.1" scope:"secret" key:"one" json:"one"`
	Two string `vic:"0.1" scope:"secret" key:"two" json:"two"`
}

const (
	oneKey = "guestinfo.vice./one@secret"
	twoKey = "guestinfo.vice./two@secret"
)

func TestSecrets(t *testing.T) {
	c, err := extraconfig.New[secrets]()
	if err != nil {
		t.Fatal(err)
	}
	v := &secrets{"hunter2", "hunter2"}
	keys, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
	if err != nil || again.Digest() != keys.Digest() {
		t.Errorf("two encodings differ, %v", err)
	}
	held := keys.Map()
	if held[oneKey] == held[twoKey] {
		t.Error("equal secrets are seen to be equal")
	}
	// As the original opens it: a nonce, and the box that it begins.
	raw, err := base64.StdEncoding.DecodeString(held[oneKey])
	if err != nil {
		t.Fatal(err)
	}
	nonce, key := [24]byte(raw), [32]byte(secretKey)
	if plain, ok := secretbox.Open(nil, raw[24:], &nonce, &key); !ok || string(plain) != "hunter2" {
		t.Error("an old reader cannot open it")
	}
	random := secretbox.Seal([]byte("a nonce of 24 bytes, old"), []byte("hunter2"), (*[24]byte)([]byte("a nonce of 24 bytes, old")), &key)
	for name, broken := range map[string]string{
		"moved":            held[twoKey],
		"a foreign nonce":  base64.StdEncoding.EncodeToString(random),
		"empty":            "",
		"short":            base64.StdEncoding.EncodeToString(raw[:23]),
		"a nonce alone":    base64.StdEncoding.EncodeToString(raw[:24]),
		"without its end":  base64.StdEncoding.EncodeToString(raw[:len(raw)-1]),
		"a bit turned":     base64.StdEncoding.EncodeToString(append(raw[:len(raw)-1:len(raw)-1], raw[len(raw)-1]^1)),
		"not base64":       "hunter2!",
		"in the clear":     "hunter2",
		"escaped as empty": "<nil>",
	} {
		torn := maps.Clone(held)
		torn[oneKey] = broken
		got, err := c.Decode(torn, extraconfig.WithSecretKey(secretKey))
		if names(err) != "one" || got.One != "" || got.Two != "hunter2" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), oneKey) || strings.Contains(err.Error(), "hunter2") || broken != "" && strings.Contains(err.Error(), broken)) {
			t.Errorf("%s: the error %q does not name the key, or shows a value", name, err)
		}
	}
	other := []byte("another key, which has 32 bytes.")
	if _, err := c.Decode(held, extraconfig.WithSecretKey(other)); names(err) != "one two" {
		t.Errorf("a wrong key: %v", err)
	}
	if _, err := c.Decode(held); names(err) != "one two" {
		t.Errorf("no key: %v", err)
	}
	if _, err := c.Encode(v); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("encoding without a key: %v", err)
	}
	for _, key := range [][]byte{[]byte("short"), make([]byte, 33)} {
		if _, err := c.Encode(v, extraconfig.WithSecretKey(key)); err == nil {
			t.Errorf("a key of %d bytes was accepted", len(key))
		}
		if _, err := c.Decode(held, extraconfig.WithSecretKey(key)); err == nil {
			t.Errorf("a key of %d bytes was accepted", len(key))
		}
	}
	spelled := map[string]string{strings.ToUpper(oneKey): held[oneKey], twoKey: held[twoKey]}
	if got, err := c.Decode(spelled, extraconfig.WithSecretKey(secretKey)); err != nil || *got != *v {
		t.Errorf("in another spelling: %+v, %v", got, err)
	}
}
