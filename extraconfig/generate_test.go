package extraconfig_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/vmexecutor/config-server/executor"
)

// drawer draws the parts of an executor. What it draws is valid, and odd wherever that is allowed.
type drawer struct {
	*rapid.T
	n int // numbers what was drawn, so that labels differ
}

func draw[V any](d *drawer, g *rapid.Generator[V]) V {
	d.n++
	return g.Draw(d.T, fmt.Sprint(d.n))
}

var (
	oddText = rapid.OneOf(
		rapid.SampledFrom([]string{"", "", "x", "|", "a|b", "||", "a/b", "a.b", "@secret", "~", "<nil>x", "naïve", "=", "\n\t\r", "0", "-1", "%7C"}),
		rapid.StringMatching(`[ -~äß|]{0,12}`),
	).Filter(func(s string) bool { return s != "<nil>" })
	entryNames = rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "A.b", "x", "x.network", "x.y", "0", "web-1", "web_1", "web", "web.1", strings.Repeat("n", 128)}),
		rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.-]{0,6}`),
	)
	annotationKeys = rapid.OneOf(
		rapid.SampledFrom([]string{"a|b", "a/b", "a.b", "a@secret", "@", "%", "%41", "~", " ", "\x00", "\x7f", "com.docker/x", "ä"}),
		rapid.StringMatching(`[ -~]{1,8}`),
	).Filter(func(s string) bool { return s != "<nil>" })
	addrs = rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v6") {
			b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
			b[0] = 0xfd
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")))
	})
	prefixes = rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := addrs.Draw(t, "address")
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	})
	times = rapid.Custom(func(t *rapid.T) time.Time {
		seconds := rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds") // years 0 to 9999
		return time.Unix(seconds, rapid.SampledFrom([]int64{0, 1, 5e8, 999999999}).Draw(t, "ns")).UTC()
	})
)

func (d *drawer) text() string { return draw(d, oddText) }
func (d *drawer) flag() bool   { return draw(d, rapid.Bool()) }
func (d *drawer) int() int     { return draw(d, rapid.Int()) }

func (d *drawer) texts() []string { return draw(d, rapid.SliceOfN(oddText, 0, 4)) }

func (d *drawer) common(id string) executor.Common {
	return executor.Common{ID: id, Name: d.text(), Notes: d.text(), ExecutionEnvironment: d.text()}
}

// distinct draws names that differ by more than case.
func (d *drawer) distinct(g *rapid.Generator[string], most int) []string {
	return draw(d, rapid.SliceOfNDistinct(g, 0, most, strings.ToLower))
}

func (d *drawer) optional() *netip.Prefix {
	if d.flag() {
		return nil
	}
	p := draw(d, prefixes)
	return &p
}

func (d *drawer) prefix() netip.Prefix {
	if p := d.optional(); p != nil {
		return *p
	}
	return netip.Prefix{}
}

func (d *drawer) diagnostics() executor.Diagnostics {
	g := executor.Diagnostics{DebugLevel: d.int(), ResurrectionCount: d.int()}
	for range draw(d, rapid.SampledFrom([]int{0, 0, 0, 1, 2, 0, 0, 11})) {
		g.ExitLogs = append(g.ExitLogs, executor.ExitLog{Time: draw(d, times), ExitStatus: d.int(), Message: d.text()})
	}
	if d.flag() {
		g.SysLogConfig = &executor.SysLogConfig{Network: d.text(), RAddr: d.text()}
	}
	return g
}

func (d *drawer) sessions(most int) map[string]*executor.SessionConfig {
	sessions := map[string]*executor.SessionConfig{}
	for _, id := range d.distinct(entryNames, most) {
		sessions[id] = &executor.SessionConfig{
			Common: d.common(id),
			Detail: executor.Detail{CreateTime: draw(d, rapid.Map(rapid.Int64(), func(i int64) executor.UnixSeconds { return executor.UnixSeconds(i) }))},
			Cmd:    executor.Cmd{Path: d.text(), Args: d.texts(), Env: d.texts(), Dir: d.text()},
			Attach: d.flag(), ExitStatus: d.int(), Started: d.text(), StopSignal: d.text(), Diagnostics: d.diagnostics(), User: d.text(),
		}
	}
	return sessions
}

func (d *drawer) mounts() map[string]executor.MountSpec {
	mounts := map[string]executor.MountSpec{}
	for i, name := range d.distinct(entryNames, 2) {
		m := executor.MountSpec{Path: fmt.Sprintf("/%d/%s", i, draw(d, rapid.StringMatching(`[a-z|.~]{0,3}`))), Mode: d.text(), CopyMode: executor.CopyMode(draw(d, rapid.IntRange(0, 2)))}
		source := draw(d, rapid.SampledFrom([]string{"", "label:///data", "label:///a%7Cb", "nfs://filer/export?x=y", "nfs://filer/a%2Fb?", "nfs://filer:2049/"}))
		if err := m.Source.UnmarshalText([]byte(source)); err != nil {
			d.Fatal(err)
		}
		if m.Source.IsZero() {
			m.Source = executor.Source{Scheme: "nfs"}
		}
		if m.Source.Scheme == "nfs" {
			m.Source.User = draw(d, rapid.SampledFrom([]*url.Userinfo{nil, url.User(secretText), url.UserPassword("u", secretText), url.UserPassword("@:/", "")}))
		}
		mounts[name] = m
	}
	return mounts
}

// secretText and hiddenText are looked for where they must not be.
const (
	secretText = "sEcReT-vAlUe"
	hiddenText = "hIdDeN-vAlUe"
)

func (d *drawer) network() executor.ContainerNetwork {
	n := executor.ContainerNetwork{
		Common: d.common(d.text()), Type: d.text(), Gateway: d.prefix(), Default: d.flag(), Destinations: draw(d, rapid.SliceOfN(prefixes, 0, 2)),
		Nameservers: draw(d, rapid.SliceOfN(addrs, 0, 2)), Aliases: d.texts(), TrustLevel: executor.TrustLevel(draw(d, rapid.IntRange(0, 5))),
		Assigned: executor.AssignedNetwork{Gateway: d.prefix(), Nameservers: draw(d, rapid.SliceOfN(addrs, 0, 2))},
	}
	if g := n.Gateway; g.IsValid() && d.flag() {
		n.Pools = []executor.Range{{First: g.Addr(), Last: g.Addr()}}
	}
	n.Notes = hiddenText
	return n
}

func (d *drawer) endpoints() map[string]*executor.NetworkEndpoint {
	endpoints := map[string]*executor.NetworkEndpoint{}
	for _, name := range d.distinct(entryNames, 2) {
		e := &executor.NetworkEndpoint{Common: d.common(d.text()), Static: d.flag(), IP: d.optional(), Assigned: d.prefix(), Network: d.network()}
		e.Name = name
		if d.flag() {
			e.Ports = []string{"80/tcp", "8443:443/tcp"}
		}
		endpoints[name] = e
	}
	return endpoints
}

// executors draws valid executors in canonical form.
var executors = rapid.Custom(func(t *rapid.T) *executor.ExecutorConfig {
	d := &drawer{T: t}
	c := &executor.ExecutorConfig{
		Common: d.common("id"), CreateTime: executor.UnixNano(draw(d, rapid.Int64Min(0))), Diagnostics: d.diagnostics(), Sessions: d.sessions(2), Execs: d.sessions(1),
		Mounts: d.mounts(), Networks: d.endpoints(), Key: draw(d, rapid.SliceOfN(rapid.Byte(), 0, 4)), Annotations: map[string]string{},
		RepoName: d.text(), AsymmetricRouting: d.flag(), Hostname: d.text(),
	}
	c.Notes = hiddenText
	if d.flag() {
		c.Version = &executor.Version{Version: d.text(), PluginVersion: d.int()}
	}
	for _, key := range d.distinct(annotationKeys, 4) {
		c.Annotations[key] = hiddenText
	}
	c.Canonicalize()
	return c
})

// validExecutors are those that may be stored: the few that mean two things for one key are not.
var validExecutors = executors.Filter(func(c *executor.ExecutorConfig) bool { return c.Validate() == nil })
