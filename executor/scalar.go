package executor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// UnixNano is a time in nanoseconds since 1970, UTC: years 1970 to 2262. Zero is not set.
type UnixNano int64

// UnixSeconds is a time in whole seconds since 1970, UTC. Zero is not set.
type UnixSeconds int64

// Time gives the time.Time, the zero one when it is not set.
func (t UnixNano) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Time gives the time.Time, the zero one when it is not set.
func (t UnixSeconds) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(int64(t), 0).UTC()
}

// MarshalText gives RFC 3339 with as many digits of the second as it needs.
func (t UnixNano) MarshalText() ([]byte, error) {
	return t.Time().AppendFormat(nil, time.RFC3339Nano), nil
}

// MarshalText gives RFC 3339.
func (t UnixSeconds) MarshalText() ([]byte, error) {
	return t.Time().AppendFormat(nil, time.RFC3339), nil
}

// UnmarshalText reads RFC 3339.
func (t *UnixNano) UnmarshalText(text []byte) error {
	at, err := parseTime(string(text))
	if err != nil {
		return err
	}
	*t, err = NanoOf(at)
	return err
}

// UnmarshalText reads RFC 3339; a fraction of a second is dropped.
func (t *UnixSeconds) UnmarshalText(text []byte) error {
	at, err := parseTime(string(text))
	if err != nil {
		return err
	}
	*t, err = SecondsOf(at)
	return err
}

// NanoOf converts at, which is between 1970 and 2262 and not the epoch itself, or zero for not set.
func NanoOf(at time.Time) (UnixNano, error) {
	if at.IsZero() {
		return 0, nil
	}
	ns := UnixNano(at.UnixNano())
	if ns <= 0 || !ns.Time().Equal(at) {
		return 0, errors.New("must be after 1970-01-01T00:00:00Z and before the year 2262")
	}
	return ns, nil
}

// SecondsOf converts at, dropping fractions of a second; the zero time is not set. The epoch
// itself is refused: it would be read back as not set.
func SecondsOf(at time.Time) (UnixSeconds, error) {
	if at.IsZero() {
		return 0, nil
	}
	if at.Unix() == 0 {
		return 0, errors.New("must not be 1970-01-01T00:00:00Z, which means not set")
	}
	return UnixSeconds(at.Unix()), nil
}

func parseTime(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errors.New("must be an RFC 3339 time such as 2026-01-02T03:04:05Z")
	}
	return at.UTC(), nil
}

// Range is a range of addresses, both ends included.
type Range struct {
	First netip.Addr `vic:"0.1" scope:"read-only" key:"first"`
	Last  netip.Addr `vic:"0.1" scope:"read-only" key:"last"`
}

// ParseRange reads first-last or a CIDR, which is the range of all its addresses.
func ParseRange(s string) (Range, error) {
	bad := fmt.Errorf("must be first-last or a CIDR, of one address family, such as 10.0.0.10-10.0.0.99")
	if strings.Contains(s, "/") {
		p, err := ParsePrefix(s)
		if err != nil {
			return Range{}, err
		}
		return Range{First: p.Masked().Addr(), Last: lastAddr(p)}, nil
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return Range{}, bad
	}
	var r Range
	var err error
	if r.First, err = ParseAddr(first); err != nil {
		return Range{}, bad
	}
	if r.Last, err = ParseAddr(last); err != nil {
		return Range{}, bad
	}
	if r.First.BitLen() != r.Last.BitLen() {
		return Range{}, bad
	}
	if !r.ordered() {
		return Range{}, errors.New("must not end before it begins")
	}
	return r, nil
}

// String gives first-last.
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

// MarshalText gives first-last.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRange.
func (r *Range) UnmarshalText(text []byte) error {
	parsed, err := ParseRange(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}

// Valid reports whether r is a range at all; the codec asks when it reads one.
func (r Range) Valid() bool { return r.ordered() }

// ordered reports whether r has two ends, of one address family and in order.
func (r Range) ordered() bool {
	return r.First.IsValid() && r.First.BitLen() == r.Last.BitLen() && !r.Last.Less(r.First)
}

// overlaps reports whether two ranges share an address.
func (r Range) overlaps(o Range) bool {
	return r.ordered() && o.ordered() && r.First.BitLen() == o.First.BitLen() && !r.Last.Less(o.First) && !o.Last.Less(r.First)
}

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ParsePrefix reads an address and the length of its network's prefix, 172.16.0.2/16. The host
// part is kept. IPv4-mapped IPv6 addresses are refused: they would be told as IPv4 by the guest.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("must be an address and a prefix length such as 172.16.0.2/16 or fd00::2/64")
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, errMapped
	}
	return p, nil
}

// ParseAddr reads an address without a zone that is not an IPv4-mapped IPv6 one.
func ParseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, errors.New("must be an IPv4 or IPv6 address such as 10.0.0.53")
	}
	if a.Is4In6() {
		return netip.Addr{}, errMapped
	}
	return a, nil
}

var errMapped = errors.New("must not be an IPv4-mapped IPv6 address: give the IPv4 one")

// TrustLevel says who may talk to whom on a container network.
type TrustLevel int

const (
	TrustUnspecified TrustLevel = iota // the network's own default
	TrustPublished                     // published ports only
	TrustOpen                          // everything in and out
	TrustClosed                        // nothing in or out
	TrustOutbound                      // connections outward only
	TrustPeers                         // the network's own members only
)

var trustLevels = []string{"unspecified", "published", "open", "closed", "outbound", "peers"}

// String is the API's word for the level.
func (l TrustLevel) String() string { return word(trustLevels, int(l)) }

// Valid reports whether there is such a level; the codec asks when it reads one.
func (l TrustLevel) Valid() bool { return 0 <= l && int(l) < len(trustLevels) }

// MarshalText gives the API's word for the level.
func (l TrustLevel) MarshalText() ([]byte, error) { return marshalWord(trustLevels, int(l)) }

// UnmarshalText reads what MarshalText writes.
func (l *TrustLevel) UnmarshalText(text []byte) error {
	i, err := parseWord(trustLevels, string(text))
	*l = TrustLevel(i)
	return err
}

func word(words []string, i int) string {
	if i < 0 || i >= len(words) {
		return fmt.Sprintf("unknown(%d)", i)
	}
	return words[i]
}

func marshalWord(words []string, i int) ([]byte, error) {
	if i < 0 || i >= len(words) {
		return nil, fmt.Errorf("no such value: %d", i)
	}
	return []byte(words[i]), nil
}

func parseWord(words []string, s string) (int, error) {
	for i, w := range words {
		if w == s {
			return i, nil
		}
	}
	return 0, fmt.Errorf("must be one of %q", words)
}
