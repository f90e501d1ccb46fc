package extraconfig

import (
	"encoding/base64"
	"errors"
	"math/bits"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var base64Text = base64.StdEncoding.Strict()

// appendTime writes a time in UTC as time.Time's String does. RFC 3339 is what the time package writes fastest, and
// it differs in two places.
func appendTime(b []byte, t time.Time) []byte {
	at := len(b)
	b = t.AppendFormat(b, time.RFC3339Nano)
	b[at+len("2006-01-02")] = ' '
	return append(b[:len(b)-len("Z")], " +0000 UTC"...)
}

// An address is written in 16 bytes, IPv4 too.
func appendAddr(b []byte, a netip.Addr) []byte {
	raw := a.As16()
	return base64Text.AppendEncode(b, raw[:])
}

// appendMask writes a mask: 4 bytes for IPv4, 16 for IPv6.
func appendMask(b []byte, p netip.Prefix) []byte {
	var mask [16]byte
	ones := p.Bits()
	for i := range ones / 8 {
		mask[i] = 0xFF
	}
	if ones%8 > 0 {
		mask[ones/8] = 0xFF << (8 - ones%8)
	}
	return base64Text.AppendEncode(b, mask[:p.Addr().BitLen()/8])
}

// encodableYear reports whether a time's year has four digits: others would not be read back.
func encodableYear(t time.Time) bool { return 0 <= t.Year() && t.Year() <= 9999 }

var (
	errNumber    = errors.New("is not a decimal number that fits")
	errBool      = errors.New("is neither true nor false")
	errBase64    = errors.New("is not base64")
	errAddress   = errors.New("is not an address of 4 or 16 bytes in base64")
	errMask      = errors.New("is not a contiguous mask of the address's family in base64")
	errNoMask    = errors.New("is an address without its mask")
	errNoAddress = errors.New("is a mask without its address")
	errChoice    = errors.New("is, alone or with the fields beside it, a value that means nothing")
	errTime      = errors.New("is not a time such as 2017-07-14 02:40:00.5 +0000 UTC")
	errUser      = errors.New("is not the user information of a URL")
)

func parseAddr(s string) (netip.Addr, error) {
	var raw [18]byte // 24 characters of base64 decode to 16 bytes; the decoder asks for room for 18
	if len(s) > 24 {
		return netip.Addr{}, errAddress
	}
	n, err := base64Text.Decode(raw[:], []byte(s))
	if err != nil {
		return netip.Addr{}, errAddress
	}
	a, ok := netip.AddrFromSlice(raw[:n])
	if !ok {
		return netip.Addr{}, errAddress
	}
	return a.Unmap(), nil
}

func parseMask(s string, a netip.Addr) (netip.Prefix, error) {
	raw, err := base64Text.DecodeString(s)
	if err != nil || len(raw)*8 != a.BitLen() {
		return netip.Prefix{}, errMask
	}
	ones, end := 0, false
	for _, b := range raw {
		n := bits.LeadingZeros8(^b)
		if b<<n != 0 || (end && b != 0) {
			return netip.Prefix{}, errMask
		}
		ones += n
		end = end || n < 8
	}
	return netip.PrefixFrom(a, ones), nil
}

// parseTime reads what time.Time's String gives, whatever zone name or monotonic reading follows
// the numeric offset, which alone counts.
func parseTime(s string) (time.Time, error) {
	date, rest, ok1 := strings.Cut(s, " ")
	clock, rest, ok2 := strings.Cut(rest, " ")
	offset, _, _ := strings.Cut(rest, " ")
	if !ok1 || !ok2 || offset == "" {
		return time.Time{}, errTime
	}
	layout := "2006-01-02 15:04:05.999999999 -0700"
	if strings.Contains(offset, ":") {
		layout = "2006-01-02 15:04:05.999999999 -07:00"
	}
	if len(date) > 10 || len(clock) > 18 || len(offset) > 6 {
		return time.Time{}, errTime
	}
	t, err := time.Parse(layout, date+" "+clock+" "+offset)
	if err != nil || !encodableYear(t.UTC()) {
		return time.Time{}, errTime
	}
	return t.UTC(), nil
}

// parseUser reads the user information of a URL, as it stands in one.
func parseUser(s string) (*url.Userinfo, error) {
	u, err := url.Parse("x://" + s + "@x")
	if err != nil || u.User == nil || u.User.String() != s || u.Host != "x" || u.Path != "" {
		return nil, errUser
	}
	return u.User, nil
}

// valid asks a value of a type that knows.
func valid(v reflect.Value) bool { return v.Interface().(interface{ Valid() bool }).Valid() }

// setScalar reads text into v, a value of a kind that has one pair.
func setScalar(n *node, v reflect.Value, text string) error {
	switch n.kind {
	case kindString:
		v.SetString(text)
	case kindBool:
		if text != "true" && text != "false" {
			return errBool
		}
		v.SetBool(text == "true")
	case kindInt:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errNumber
		}
		v.SetInt(i)
		if n.valid && !valid(v) {
			v.SetInt(0)
			return errChoice
		}
	case kindUint:
		i, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return errNumber
		}
		v.SetUint(i)
	case kindBytes:
		b, err := base64Text.DecodeString(text)
		if err != nil {
			return errBase64
		}
		if len(b) > 0 {
			v.SetBytes(b)
		}
	case kindAddr:
		if text == "" {
			return nil
		}
		a, err := parseAddr(text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(a))
	case kindTime:
		t, err := parseTime(text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(t))
	}
	return nil
}
