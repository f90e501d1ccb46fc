package extraconfig_test

import (
	"errors"
	"reflect"
	"regexp"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// pack writes a key set as one text, for the fuzzer to change; unpack reads any text as one.
func pack(keys map[string]string) string {
	var parts []string
	for key, value := range keys {
		parts = append(parts, key, value)
	}
	return strings.Join(parts, "\x00")
}

func unpack(text string) map[string]string {
	keys := map[string]string{}
	parts := strings.Split(text, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		keys[parts[i]] = parts[i+1]
	}
	return keys
}

// seeds are key sets as they are, torn, and hostile.
func seeds(t testing.TB) []map[string]string {
	all := []map[string]string{
		{},
		at("guestinfo.vice..diagnostics.exitlogs", "999999999", "guestinfo.vice..diagnostics.exitlogs|0.Time", "x"),
		at("guestinfo.vice..diagnostics.exitlogs", "-9223372036854775808"),
		at("guestinfo.vice..diagnostics.exitlogs", "99999999999999999999999"),
		at("guestinfo.vice..diagnostics.exitlogs", "1", "guestinfo.vice..diagnostics.exitlogs|1.ExitStatus", "1"),
		at("sessions", "a", "sessions|a/cmd/Args", "2", "sessions|a/cmd/Args~", "a|b"),
		at("sessions", "a", "sessions|a/cmd/Args", "0", "sessions|a/cmd/Args~", "a|b", "sessions|a/cmd/Args|0", "a|b"),
		at("sessions", "a/b|a.b|a|b", "sessions|a/b/tty", "true"),
		at("sessions", "", "sessions|/tty", "true"),
		at("sessions", "a||b|A", "sessions|a/tty", "true", "SESSIONS|A/TTY", "false"),
		at("networks", "x|x.network", "networks|x/network/Common/id", "1", "networks|x/ip/IP", v4in4),
		at("mounts", "m", "mounts|m/source/User@secret", "c2hvcnQ=", "mounts|m/source/User", "clear"),
		at("mounts", "m", "mounts|m/source/User@secret", "<nil>", "mounts|m/source/Host", "<nil>"),
		at("hostname", "\xff\xfe\x80", "domainname", strings.Repeat("x", 1<<20), "imageid", "<nil>"),
		at("execs@non-persistent", "e", "execs", "e", "execs|e/tty@non-persistent", "true"),
		{"annotations": "a|b|a@secret|%7C||", "annotations|a": "1", "annotations|a@secret": "2", "annotations|a|b": "3", "annotations|": "4"},
	}
	for _, v := range vectors(t) {
		all = append(all, v.keys)
	}
	return all
}

// allocated is the number of bytes that the process has allocated so far.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// inProportion fails when f allocates more than its input is worth.
func inProportion(t *testing.T, keys map[string]string, f func()) {
	t.Helper()
	limit := uint64(1 << 20)
	for key, value := range keys {
		limit += uint64(128 * (len(key) + len(value) + 32))
	}
	var n uint64
	for range 3 { // the fuzzer allocates, too, but not every time
		before := allocated()
		f()
		if n = allocated() - before; n <= limit {
			return
		}
	}
	t.Fatalf("%d bytes were allocated for %d pairs, %d are plenty", n, len(keys), limit)
}

func FuzzDecode(f *testing.F) {
	for _, keys := range seeds(f) {
		f.Add(pack(keys))
	}
	c := newCodec(f)
	f.Fuzz(func(t *testing.T, text string) {
		keys := unpack(text)
		inProportion(t, keys, func() {
			v, err := c.Decode(keys, extraconfig.WithSecretKey(secretKey))
			var refused extraconfig.Errors
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("an error of another kind: %v", err)
			}
			for _, e := range refused {
				if e.Key == "" || e.Field == "" || e.Reason == "" {
					t.Fatalf("the error %v does not say where", e)
				}
			}
			again, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
			var meet *extraconfig.Error
			if errors.As(err, &meet) && strings.Contains(meet.Reason, "same key") {
				return // of a key set that another writer made, with endpoints x and x.network
			}
			if err != nil {
				t.Fatalf("what was decoded cannot be encoded: %v", err)
			}
			back, err := c.Decode(again.Map(), extraconfig.WithSecretKey(secretKey))
			if err != nil || !reflect.DeepEqual(back, v) {
				t.Fatalf("what was decoded does not come back: %+v, %+v, %v", v, back, err)
			}
		})
	})
}

func FuzzOwns(f *testing.F) {
	for _, keys := range seeds(f)[:len(seeds(f))-20] { // a few of the vectors have every kind of key
		for key := range keys {
			f.Add(key)
		}
	}
	for _, key := range []string{"guestinfo.vice./sessions|a/b/tty", "guestinfo.vice./sessions|a|b/tty", "annotations|a@secret", "annotations|", strings.Repeat("sessions|", 1000)} {
		f.Add(key)
	}
	c := newCodec(f)
	templates := ownership(c)
	f.Fuzz(func(t *testing.T, key string) {
		if !utf8.ValidString(key) {
			c.Owns(key) // the expression cannot judge it
			return
		}
		ours := c.Owns(key)
		if c.Owns(upper(key)) != ours {
			t.Fatalf("whether %q is ours depends on its case", key)
		}
		parsed := c.Parse(map[string]string{key: "value"})
		p, ok := parsed.Get(key)
		if ok != ours || parsed.Len() > 1 || ok && (p.Key != key || p.Value != "value" || p.Field() == "") {
			t.Fatalf("%q is parsed as %+v", key, p)
		}
		if want := templates.MatchString(lowered(key)); ours != want {
			t.Fatalf("%q is ours: %v, by its template: %v", key, ours, want)
		}
	})
}

// ownership writes every template of the schema as a regular expression, for keys in lower case.
func ownership(c *extraconfig.Codec[executor.ExecutorConfig]) *regexp.Regexp {
	hole := regexp.MustCompile(`\.\*|\[\]`)
	var all []string
	for _, f := range c.Fields() {
		key, suffix, _ := strings.Cut(lowered(f.Key), "@")
		if suffix != "" {
			suffix = "@" + suffix
		}
		key, suffix = regexp.QuoteMeta(key), regexp.QuoteMeta(suffix)
		name, step := `[a-z0-9][a-z0-9_/-]{0,127}`, "/"
		switch {
		case f.Scope == extraconfig.ReadWrite:
			name, step = `[a-z0-9][a-z0-9_.-]{0,127}`, `\.`
		case f.Path == "annotations.*":
			name = `(?s:.+)`
		}
		for _, h := range hole.FindAllString(f.Path, -1) {
			if h == "[]" {
				key = strings.Replace(key, `\*`, `[0-9]+`, 1)
			} else {
				key = strings.Replace(key, `\*`, name, 1)
			}
		}
		switch f.Type {
		case "CIDR":
			key += step + "(ip|mask)"
		case "URL":
			key += step + "(scheme|opaque|host|path|rawpath|forcequery|rawquery|fragment)"
		case "list of strings":
			key += `(~|\|[0-9]+)?`
		}
		all = append(all, key+suffix)
	}
	return regexp.MustCompile(`\A(` + strings.Join(all, "|") + `)\z`)
}

func lowered(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func FuzzOpenSecret(f *testing.F) {
	c, err := extraconfig.New[secrets]()
	if err != nil {
		f.Fatal(err)
	}
	keys, err := c.Encode(&secrets{One: "hunter2", Two: strings.Repeat("x", 1<<16)}, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		f.Fatal(err)
	}
	for _, value := range keys.Map() {
		for _, n := range []int{0, 1, 23, 24, 32, 39, 40, 52, len(value) - 1, len(value)} {
			f.Add(value[:n])
		}
	}
	for _, value := range []string{"<nil>", "====", "\xff", strings.Repeat("A", 1<<20), "c2hvcnQ=\n"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		held := map[string]string{oneKey: value}
		inProportion(t, held, func() {
			v, err := c.Decode(held, extraconfig.WithSecretKey(secretKey))
			if err != nil {
				if names(err) != "one" || v.One != "" || len(value) > 12 && strings.Contains(err.Error(), value) {
					t.Fatalf("%+v, %v", v, err)
				}
				return
			}
			again, err := c.Encode(v, extraconfig.WithSecretKey(secretKey))
			if p, _ := again.Get(oneKey); err != nil || p.Value != strings.NewReplacer("\n", "", "\r", "").Replace(value) {
				t.Fatalf("%q was opened, and is none of ours", value)
			}
		})
	})
}

func FuzzDiff(f *testing.F) {
	all := seeds(f)
	for i, keys := range all {
		f.Add(pack(keys), pack(all[(i+1)%len(all)]))
		f.Add(pack(keys), pack(keys))
	}
	c := newCodec(f)
	f.Fuzz(func(t *testing.T, observed, desired string) {
		held, wanted := unpack(observed), unpack(desired)
		have, want := c.Parse(held), c.Parse(wanted)
		var d extraconfig.Delta
		inProportion(t, wanted, func() { inProportion(t, held, func() { d = extraconfig.Diff(have, want) }) })
		set := map[string]bool{}
		for _, p := range d.Set {
			set[upper(p.Key)] = true
			if q, ok := want.Get(p.Key); !ok || q.Value != p.Value {
				t.Fatalf("%q is set and is not wanted", p.Key)
			}
		}
		for _, key := range d.Delete {
			if _, ok := held[key]; !ok || set[upper(key)] || !c.Owns(key) {
				t.Fatalf("%q is deleted", key)
			}
		}
		if !slices.IsSorted(d.Delete) {
			t.Fatal("deletions are not in order")
		}
		if spelledTwice(held) || spelledTwice(wanted) {
			return // no VM holds such keys
		}
		if after := d.Apply(have); after.Len() != want.Len() || !extraconfig.Diff(after, want).Empty() {
			t.Fatal("what was applied is not what was wanted")
		}
	})
}

func spelledTwice(keys map[string]string) bool {
	folded := map[string]bool{}
	for key := range keys {
		folded[upper(key)] = true
	}
	return len(folded) < len(keys)
}
