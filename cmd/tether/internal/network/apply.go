//go:build linux

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// firstMetric is that of the first link's routes. Those of another link have another, so that two links can lead to one network.
const firstMetric = 100

// Up brings a link up, without an address.
func Up(link string) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring %s up: %w", link, err)
	}
	return nil
}

// Apply brings a link up and makes its settings those of want. What it had before goes, as far as it was set here: other
// addresses and routes are left alone. What is there already is not an error, nor is what is gone.
func Apply(link string, had, want Settings) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring %s up: %w", link, err)
	}
	for _, r := range had.Routes {
		if !slices.Contains(want.Routes, r) {
			if err := netlink.RouteDel(route(l, r, had.Address)); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("remove the route to %s from %s: %w", r.To, link, err)
			}
		}
	}
	// First: with an address, the kernel removes those that came later and are of the same network.
	if had.Address.IsValid() && had.Address != want.Address {
		if err := netlink.AddrDel(l, address(had.Address)); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("remove the address %s from %s: %w", had.Address, link, err)
		}
	}
	if want.Address.IsValid() {
		if err := netlink.AddrReplace(l, address(want.Address)); err != nil {
			return fmt.Errorf("give %s the address %s: %w", link, want.Address, err)
		}
	}
	for _, r := range want.Routes {
		if err := netlink.RouteReplace(route(l, r, want.Address)); err != nil {
			return fmt.Errorf("route %s through %s, on %s: %w", r.To, r.Via, link, err)
		}
	}
	return nil
}

// address is used at once: the server gives it to one executor alone, so that it need not be asked for first.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func route(l netlink.Link, r Route, from netip.Prefix) *netlink.Route {
	nr := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.To), Gw: r.Via.AsSlice(), Priority: firstMetric + l.Attrs().Index}
	if !from.Contains(r.Via) {
		nr.Flags = int(netlink.FLAG_ONLINK)
	}
	return nr
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// AllowAsymmetricRoutes lets answers leave by another link than the requests came in by, or not: the kernel's filter
// of source addresses is loose, or what it is without us (RFC 3704, ip-sysctl.rst).
func AllowAsymmetricRoutes(allow bool) error {
	mode := "0"
	if allow {
		mode = "2"
	}
	return os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte(mode), 0o644) //nolint:gosec // the kernel's own file
}
