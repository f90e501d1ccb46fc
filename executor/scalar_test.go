package executor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	for _, tc := range []struct{ in, nano, seconds string }{
		{"2026-01-02T03:04:05.000000006Z", "2026-01-02T03:04:05.000000006Z", "2026-01-02T03:04:05Z"},
		{"2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05Z", "2026-01-02T02:04:05Z"},
		{"2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16Z"},
		{"2263-01-01T00:00:00Z", "", "2263-01-01T00:00:00Z"},
		{"1969-12-31T23:59:59Z", "", "1969-12-31T23:59:59Z"},
		{"1970-01-01T00:00:00Z", "", ""},
		{"yesterday", "", ""},
	} {
		var n UnixNano
		got := ""
		if err := n.UnmarshalText([]byte(tc.in)); err == nil {
			text, _ := n.MarshalText()
			got = string(text)
		}
		if got != tc.nano {
			t.Errorf("UnixNano of %s: %q, want %q", tc.in, got, tc.nano)
		}
		var s UnixSeconds
		got = ""
		if err := s.UnmarshalText([]byte(tc.in)); err == nil {
			text, _ := s.MarshalText()
			got = string(text)
		}
		if got != tc.seconds {
			t.Errorf("UnixSeconds of %s: %q, want %q", tc.in, got, tc.seconds)
		}
	}
	if n, err := NanoOf(time.Time{}); n != 0 || err != nil || !n.Time().IsZero() {
		t.Error("the zero time is not set, and back")
	}
}

func TestRanges(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1-10.0.0.9":     "10.0.0.1-10.0.0.9",
		"10.0.0.7/30":           "10.0.0.4-10.0.0.7",
		"10.0.0.7/32":           "10.0.0.7-10.0.0.7",
		"0.0.0.0/0":             "0.0.0.0-255.255.255.255",
		"fd00::/126":            "fd00::-fd00::3",
		"fd00::1-fd00::2":       "fd00::1-fd00::2",
		"10.0.0.9-10.0.0.1":     "",
		"10.0.0.1-fd00::1":      "",
		"10.0.0.1":              "",
		"10.0.0.0/33":           "",
		"::ffff:10.0.0.0/120":   "",
		"fe80::1%eth0-fe80::2":  "",
		"10.0.0.1 - 10.0.0.9":   "",
		"010.0.0.1-10.0.0.9":    "",
		"10.0.0.1-10.0.0.9-":    "",
		"::ffff:10.0.0.1-::1:2": "",
	} {
		r, err := ParseRange(in)
		got := ""
		if err == nil {
			got = r.String()
		}
		if got != want {
			t.Errorf("ParseRange(%q) = %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestPrefixesAndAddresses(t *testing.T) {
	if p, err := ParsePrefix("172.16.0.2/16"); err != nil || p.String() != "172.16.0.2/16" {
		t.Errorf("the host part is kept: %v %v", p, err)
	}
	for _, s := range []string{"", "172.16.0.2", "172.16.0.2/33", "::ffff:1.2.3.4/96", "fe80::1%eth0/64", "a/8"} {
		if _, err := ParsePrefix(s); err == nil {
			t.Errorf("ParsePrefix(%q) accepted", s)
		}
	}
	for _, s := range []string{"", "1.2.3", "::ffff:1.2.3.4", "fe80::1%eth0"} {
		if _, err := ParseAddr(s); err == nil {
			t.Errorf("ParseAddr(%q) accepted", s)
		}
	}
}

func TestSources(t *testing.T) {
	for in, want := range map[string]string{
		"label://data":              "label:///data",
		"label:///data":             "label:///data",
		"label:///a%20b":            "label:///a%20b",
		"nfs://filer/export?uid=1":  "nfs://filer/export?uid=1",
		"nfs://u:p@filer/export":    "nfs://u:p@filer/export",
		"nfs://[fd00::1]/export":    "nfs://[fd00::1]/export",
		"file:///srv/data":          "file:///srv/data",
		"label://":                  "",
		"label:///":                 "",
		"label:///a/b":              "",
		"label:///a%2Fb":            "",
		"label://data/":             "",
		"label://u@data":            "",
		"label://data:80":           "",
		"label://data?x=1":          "",
		"label:///data?":            "",
		"nfs:x":                     "",
		"nfs:/export":               "",
		"/export":                   "",
		"nfs://filer/export#part":   "",
		"nfs://filer/export#":       "",
		"nfs://filer/\x00":          "",
		"nfs://filer:port/export":   "",
		"nfs://u:secret@filer:port": "",
	} {
		s, err := ParseSource(in)
		got := ""
		if err == nil {
			text, _ := s.MarshalText()
			got = string(text)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseSource(%q): the error repeats the password: %v", in, err)
		}
		if got != want {
			t.Errorf("ParseSource(%q) = %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestSourcePrintsWithoutCredentials(t *testing.T) {
	s, err := ParseSource("nfs://user:hunter2@filer/export")
	if err != nil {
		t.Fatal(err)
	}
	m := MountSpec{Source: s}
	for _, printed := range []string{s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v", s, m, m)} {
		if strings.Contains(printed, "hunter2") || strings.Contains(printed, "user") {
			t.Errorf("printed %s", printed)
		}
	}
	if text, _ := json.Marshal(m); !strings.Contains(string(text), "hunter2") {
		t.Errorf("a stored record lost the credentials: %s", text)
	}
}

func TestWords(t *testing.T) {
	var l TrustLevel
	if err := l.UnmarshalText([]byte("peers")); err != nil || l != TrustPeers || l.String() != "peers" {
		t.Errorf("%v %v", l, err)
	}
	if err := l.UnmarshalText([]byte("friends")); err == nil {
		t.Error("an unknown trust level was accepted")
	}
	var m CopyMode
	if err := m.UnmarshalText([]byte("new")); err != nil || m != CopyNew {
		t.Errorf("%v %v", m, err)
	}
	if _, err := CopyMode(7).MarshalText(); err == nil {
		t.Error("an unknown copy mode was written")
	}
}
