package extraconfig_test

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

type readings struct {
	Text   string                         `vic:"0.1" scope:"read-only" key:"text" json:"text"`
	Int    int8                           `vic:"0.1" scope:"read-only" key:"int" json:"int"`
	Uint   uint                           `vic:"0.1" scope:"read-only" key:"uint" json:"uint"`
	Bool   bool                           `vic:"0.1" scope:"read-only" key:"bool" json:"bool"`
	Bytes  []byte                         `vic:"0.1" scope:"read-only" key:"bytes" json:"bytes"`
	Time   time.Time                      `vic:"0.1" scope:"read-only" key:"time" json:"time"`
	Addr   netip.Addr                     `vic:"0.1" scope:"read-only" key:"addr" json:"addr"`
	CIDR   netip.Prefix                   `vic:"0.1" scope:"read-only" key:"cidr" json:"cidr"`
	List   []string                       `vic:"0.1" scope:"read-only" key:"list" json:"list"`
	Ints   []int8                         `vic:"0.1" scope:"read-only" key:"ints" json:"ints"`
	Each   []struct{ A, B int }           `vic:"0.1" scope:"read-only" key:"each" json:"each"`
	Map    map[string]int                 `vic:"0.1" scope:"read-only" key:"map" json:"map"`
	Struct map[string]*executor.MountSpec `vic:"0.1" scope:"read-only" key:"struct" json:"struct"`
	Level  executor.TrustLevel            `vic:"0.1" scope:"read-only" key:"level" json:"level"`
	Addrs  []netip.Addr                   `vic:"0.1" scope:"read-only" key:"addrs" json:"addrs"`
	Pool   executor.Range                 `vic:"0.1" scope:"read-only" key:"pool" json:"pool"`
	Boot   string                         `vic:"0.1" scope:"non-persistent" key:"boot" json:"boot"`
}

const (
	v4in16 = "AAAAAAAAAAAAAP//CgAAAQ=="
	v4in4  = "CgAAAQ=="
	v6     = "/QAAAAAAAAAAAAAAAAAAAQ=="
	mask24 = "////AA=="
)

// at gives a key set of pairs key, value, ...: keys without their prefix, unless they have it.
func at(pairs ...string) map[string]string {
	keys := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		key := pairs[i]
		if !strings.Contains(strings.ToLower(key), "vice.") {
			key = "guestinfo.vice./" + key
		}
		keys[key] = pairs[i+1]
	}
	return keys
}

func newReadings(t testing.TB) *extraconfig.Codec[readings] {
	t.Helper()
	c, err := extraconfig.New[readings]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTolerantReading: what older writers produced, and other spellings of keys.
func TestTolerantReading(t *testing.T) {
	c := newReadings(t)
	moment := time.Date(2017, 7, 14, 2, 40, 0, 5e8, time.UTC)
	addr, cidr := netip.MustParseAddr("10.0.0.1"), netip.MustParsePrefix("10.0.0.1/24")
	for name, test := range map[string]struct {
		keys map[string]string
		want readings
	}{
		"nothing":                    {at(), readings{}},
		"an address in 4 bytes":      {at("addr", v4in4, "cidr/IP", v4in4, "cidr/Mask", mask24), readings{Addr: addr, CIDR: cidr}},
		"an address in 16 bytes":     {at("addr", v4in16, "cidr/IP", v4in16, "cidr/Mask", mask24), readings{Addr: addr, CIDR: cidr}},
		"a time as we write it":      {at("time", "2017-07-14 02:40:00.5 +0000 UTC"), readings{Time: moment}},
		"a zone by number":           {at("time", "2017-07-14 06:10:00.5 +0330 +0330"), readings{Time: moment}},
		"a zone by number alone":     {at("time", "2017-07-13 19:40:00.5 -0700"), readings{Time: moment}},
		"a zone with a colon":        {at("time", "2017-07-14 06:10:00.5 +03:30"), readings{Time: moment}},
		"a zone by name":             {at("time", "2017-07-13 22:40:00.5 -0400 EDT"), readings{Time: moment}},
		"a monotonic reading":        {at("time", "2017-07-14 02:40:00.500000000 +0000 UTC m=+0.000012345"), readings{Time: moment}},
		"an escaped empty value":     {at("text", "<nil>", "list", "0", "list~", "<nil>"), readings{List: []string{""}}},
		"other case":                 {at("GuestInfo.Vice./TEXT", "x", "EACH|0/a", "1", "each", "0"), readings{Text: "x", Each: []struct{ A, B int }{{A: 1}}}},
		"an empty length":            {at("list", "", "list~", "a", "each", "", "each|0/A", "1"), readings{}},
		"a length of none":           {at("list", "-1", "each", "-1"), readings{}},
		"an empty index":             {at("map", "", "map|a", "1"), readings{}},
		"what no index names":        {at("map", "a", "map|a", "1", "map|b", "x", "each", "0", "each|0/A", "1", "each|1/A", "x"), readings{Map: map[string]int{"a": 1}, Each: []struct{ A, B int }{{A: 1}}}},
		"a missing scalar":           {at("map", "a|b", "map|b", "2"), readings{Map: map[string]int{"a": 0, "b": 2}}},
		"keys of others":             {at("text", "x", "other", "y", "guestinfo.vice.text", "z"), readings{Text: "x"}},
		"an annotation as it was":    {at("map", "a%7Cb|50%|user@host|x@secret", "map|a%7Cb", "1", "map|50%", "2", "map|user@host", "3", "map|x@secret", "4"), readings{Map: map[string]int{"a|b": 1, "50%": 2, "user@host": 3, "x@secret": 4}}},
		"a modifier that is not one": {at("boot", "x"), readings{}},
	} {
		got, err := c.Decode(test.keys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, &test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestDecodeErrors: each names its key and its field, and the rest is usable.
func TestDecodeErrors(t *testing.T) {
	c := newReadings(t)
	for name, test := range map[string]struct {
		key, field string
		keys       map[string]string
	}{
		"not a number":              {"int", "int", at("int", "seven")},
		"an empty number":           {"int", "int", at("int", "")},
		"a number that is large":    {"int", "int", at("int", "128")},
		"a negative one":            {"uint", "uint", at("uint", "-1")},
		"a number without meaning":  {"level", "level", at("level", "6")},
		"half a range":              {"pool/first", "pool", at("pool/first", v4in16)},
		"a range backwards":         {"pool/first", "pool", at("pool/first", v6, "pool/last", v4in16)},
		"neither true nor false":    {"bool", "bool", at("bool", "yes")},
		"not base64":                {"bytes", "bytes", at("bytes", "hunter2!")},
		"an address of 5 bytes":     {"addr", "addr", at("addr", "CgAAAQE=")},
		"an address that is long":   {"addr", "addr", at("addr", strings.Repeat("A", 1<<20))},
		"an address as text":        {"addr", "addr", at("addr", "10.0.0.1")},
		"no mask":                   {"cidr/IP", "cidr", at("cidr/IP", v4in16)},
		"an empty mask":             {"cidr/IP", "cidr", at("cidr/IP", v4in16, "cidr/Mask", "")},
		"no address":                {"cidr/Mask", "cidr", at("cidr/Mask", mask24)},
		"a mask with holes":         {"cidr/Mask", "cidr", at("cidr/IP", v4in16, "cidr/Mask", "/wD/AA==")},
		"a mask that begins again":  {"cidr/Mask", "cidr", at("cidr/IP", v4in16, "cidr/Mask", "//B/AA==")},
		"a mask of the other kind":  {"cidr/Mask", "cidr", at("cidr/IP", v6, "cidr/Mask", mask24)},
		"a time without a zone":     {"time", "time", at("time", "2017-07-14 02:40:00")},
		"a zone by name alone":      {"time", "time", at("time", "2017-07-14 02:40:00 UTC")},
		"a year of five digits":     {"time", "time", at("time", "10000-01-01 00:00:00 +0000 UTC")},
		"a year of five, in UTC":    {"time", "time", at("time", "9999-12-31 23:59:59 -0100 -0100")},
		"a length too many":         {"list", "list", at("list", "2", "list~", "a|b")},
		"a length too few":          {"list|0", "list", at("list", "0", "list~", "a|b")},
		"a length without list":     {"list", "list", at("list", "0")},
		"an element of no kind":     {"ints~", "ints", at("ints", "1", "ints~", "1|x")},
		"a length as text":          {"each", "each", at("each", "two")},
		"a length below none":       {"each", "each", at("each", "-2")},
		"a length beyond":           {"each", "each", at("each", "999999999")},
		"a length beyond numbers":   {"each", "each", at("each", "99999999999999999999")},
		"a length too many structs": {"each", "each", at("each", "1", "each|0/A", "1", "text", "", "int", "1")},
		"an element that is empty":  {"addrs", "addrs", at("addrs", "1", "addrs|0", v4in16, "addrs|1", "")},
		"an element's field":        {"each|1/B", "each", at("each", "1", "each|0/A", "1", "each|1/B", "x")},
		"a value in a map":          {"map|a", "map.a", at("map", "a", "map|a", "x")},
		"an index with a gap":       {"map", "map", at("map", "a||b", "map|a", "1", "map|b", "1")},
		"an index that repeats":     {"map", "map", at("map", "a|a", "map|a", "1", "text", "")},
		"repeats but for case":      {"map", "map", at("map", "a|A", "map|a", "1", "map|A", "1")},
		"an index beyond":           {"map", "map", at("map", "a|b|c|d", "map|a", "1")},
		"a name that is none":       {"struct", "struct", at("struct", "a/b")},
		"two spellings":             {"text", "text", at("text", "x", "TEXT", "y")},
		"with and without suffix":   {"boot@non-persistent", "boot", at("boot", "x", "boot@non-persistent", "y")},
	} {
		test.keys["guestinfo.vice./text"] += ""
		got, err := c.Decode(test.keys)
		var all extraconfig.Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Errorf("%s: %+v without an error", name, got)
			continue
		}
		if !slices.ContainsFunc(all, func(e *extraconfig.Error) bool {
			return e.Field == test.field && strings.EqualFold(e.Key, "guestinfo.vice./"+test.key) && e.Reason != ""
		}) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 500 {
			t.Errorf("%s: %.500v", name, err)
		}
	}
	got, err := c.Decode(at("int", "x", "uint", "7", "map", "a|b", "map|a", "x", "map|b", "2", "each", "1", "each|0/A", "x", "each|1/B", "3"))
	want := &readings{Uint: 7, Map: map[string]int{"a": 0, "b": 2}} // a list is one field
	if !reflect.DeepEqual(got, want) || names(err) != "int each map.a" {
		t.Errorf("what did parse: %+v, %v", got, err)
	}
}

// TestLongList: elements are found by number and not by the order of keys.
func TestLongList(t *testing.T) {
	c := newReadings(t)
	keys := at("each", "119")
	want := &readings{}
	for i := range 120 {
		keys["guestinfo.vice./each|"+strconv.Itoa(i)+"/A"] = strconv.Itoa(i)
		want.Each = append(want.Each, struct{ A, B int }{A: i})
	}
	if got, err := c.Decode(keys); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEncodeRefuses what would not be read back as it is.
func TestEncodeRefuses(t *testing.T) {
	c := newReadings(t)
	for field, v := range map[string]*readings{
		"time":   {Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"addr":   {Addr: netip.MustParseAddr("::ffff:10.0.0.1")},
		"cidr":   {CIDR: netip.MustParsePrefix("::ffff:10.0.0.1/120")},
		"struct": {Struct: map[string]*executor.MountSpec{"": nil}},
		"map":    {Map: map[string]int{"": 1}},
	} {
		_, err := c.Encode(v)
		var refused *extraconfig.Error
		if !errors.As(err, &refused) || refused.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := c.Encode(&readings{Addr: netip.MustParseAddr("fe80::1%eth0")}); err == nil {
		t.Error("an address with a zone was accepted")
	}
	_, err := newCodec(t).Encode(&executor.ExecutorConfig{Networks: map[string]*executor.NetworkEndpoint{"n": {Network: executor.ContainerNetwork{
		Destinations: make([]netip.Prefix, 1),
	}}}})
	var refused *extraconfig.Error
	if !errors.As(err, &refused) || refused.Field != "networks.n.network.destinations" {
		t.Errorf("an empty element: %v", err)
	}
}
