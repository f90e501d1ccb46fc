package extraconfig_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
)

// refused compiles a codec for T and expects an error with all the words.
func refused[T any](t *testing.T, words ...string) {
	t.Helper()
	_, err := extraconfig.New[T]()
	if err == nil {
		t.Errorf("%T was accepted", *new(T))
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

type (
	self     struct{ Next []self }
	selfMap  map[string]selfMap
	selfList []selfList
)

// TestCompileErrors: what the tags get wrong is found at first use, and the error names the field.
func TestCompileErrors(t *testing.T) {
	refused[struct {
		Wrong string `vic:"0.1" scope:"read-only,readwrite" key:"x"`
	}](t, "Wrong", `unknown scope "readwrite"`)
	refused[struct {
		Wrong string `vic:"0.1" key:"x"`
	}](t, "Wrong", "unknown scope")
	refused[struct {
		Wrong string `vic:"0.1" scope:"hidden,non-persistent" key:"x"`
	}](t, "Wrong", "hidden", "non-persistent")
	refused[struct {
		Wrong string `vic:"0.1" scope:"hidden,read-only" key:"x"`
	}](t, "Wrong", "hidden", "read-only")
	refused[struct {
		Wrong string `vic:"0.1" scope:"read-only" key:"a|b"`
	}](t, "Wrong", "a|b")
	refused[struct {
		Wrong string `vic:"0.1" scope:"read-only" key:"a@secret"`
	}](t, "Wrong", "a@secret")
	refused[struct {
		One string `vic:"0.1" scope:"read-only" key:"x" json:"one"`
		Two string `vic:"0.1" scope:"read-only" key:"X" json:"two"`
	}](t, "one", "two", "guestinfo.vice./X")
	refused[struct {
		One string `vic:"0.1" scope:"read-only" key:"x" json:"one"`
		Two string `vic:"0.1" scope:"secret" key:"x" json:"two"`
	}](t, "one", "two")
	refused[struct {
		One string `vic:"0.1" scope:"read-only" key:"a.b" json:"one"`
		Two struct {
			B string `vic:"0.1" scope:"read-only" key:"b" json:"b"`
		} `vic:"0.1" scope:"read-only" key:"a" json:"two"`
	}](t, "one", "two.b")
	refused[struct {
		Sub struct{ Wrong float64 }
	}](t, "Sub.Wrong", "float64")
	refused[struct{ Wrong map[int]string }](t, "Wrong", "map[int]string")
	refused[struct{ Wrong map[string]chan int }](t, "Wrong.*", "chan int")
	refused[struct{ Wrong [2]string }](t, "Wrong")
	refused[struct{ Wrong [][]string }](t, "Wrong")
	refused[struct{ Wrong []*string }](t, "Wrong")
	refused[struct{ Wrong []bool }](t, "Wrong")
	refused[struct{ Wrong **string }](t, "Wrong")
	refused[struct{ Wrong *map[string]string }](t, "Wrong")
	refused[struct{ Wrong big.Int }](t, "Wrong", "big.Int")
	refused[struct{ Wrong self }](t, "contains itself")
	refused[struct{ Wrong selfMap }](t, "contains itself")
	refused[struct{ Wrong selfList }](t, "Wrong")
	refused[string](t, "struct")
}

// TestHiddenBelowNonPersistent: such a field has no key and is left alone; a visible field below it has one.
func TestHiddenBelowNonPersistent(t *testing.T) {
	type document struct {
		Boot struct {
			Seen   string   `vic:"0.1" scope:"read-only" key:"seen"`
			Notes  string   `vic:"0.1" scope:"hidden" key:"notes"`
			Lists  []string `vic:"0.1" scope:"hidden" key:"lists"`
			Hidden struct {
				Untagged string
				Seen     string `vic:"0.1" scope:"read-only" key:"seen"`
			} `vic:"0.1" scope:"hidden" key:"hidden"`
		} `vic:"0.1" scope:"non-persistent" key:"boot"`
	}
	c, err := extraconfig.New[document]()
	if err != nil {
		t.Fatal(err)
	}
	var d document
	d.Boot.Seen, d.Boot.Notes, d.Boot.Lists, d.Boot.Hidden.Untagged, d.Boot.Hidden.Seen = "1", "2", []string{"3"}, "4", "5"
	keys, err := c.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	const want = `read-only  guestinfo.vice./boot/hidden/seen@non-persistent = "5"
read-only  guestinfo.vice./boot/seen@non-persistent = "1"
`
	if got := lines(keys); got != want {
		t.Errorf("got\n%s", got)
	}
}
