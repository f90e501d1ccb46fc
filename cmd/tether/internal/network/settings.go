//go:build linux

package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// Settings are what a link has.
type Settings struct {
	Address netip.Prefix // with the host's own bits
	Routes  []Route
}

// Route leads to a network.
type Route struct {
	To  netip.Prefix // masked
	Via netip.Addr
}

// ForEndpoint gives the settings of an endpoint that has an address: that, and the ways out of its network.
func ForEndpoint(e *executor.NetworkEndpoint, address netip.Prefix, gateway netip.Addr) Settings {
	s := Settings{Address: address}
	if !gateway.IsValid() || gateway == address.Addr() || gateway.Is4() != address.Addr().Is4() {
		return s
	}
	for _, d := range e.Network.Destinations {
		if d.Addr().Is4() == gateway.Is4() {
			s.Routes = append(s.Routes, Route{d.Masked(), gateway})
		}
	}
	if e.Network.Default && !e.Internal {
		everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		s.Routes = append(s.Routes, Route{everywhere, gateway})
	}
	return s
}

// Resolver is the text of /etc/resolv.conf (resolv.conf(5)), with every server once.
func Resolver(domain string, servers []netip.Addr) string {
	var text strings.Builder
	if domain != "" {
		fmt.Fprintf(&text, "search %s\n", domain)
	}
	for i, server := range servers {
		if !slices.Contains(servers[:i], server) {
			fmt.Fprintf(&text, "nameserver %s\n", server)
		}
	}
	return text.String()
}
