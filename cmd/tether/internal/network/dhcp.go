//go:build linux

package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// Lease is what a DHCP server gave (RFC 2131).
type Lease struct {
	Address     netip.Prefix
	Gateway     netip.Addr // invalid when there is none
	Nameservers []netip.Addr
	lasts       time.Duration
	lease       *nclient4.Lease
}

// The times of a client without answers.
const (
	askTimeout = 2 * time.Second // for one answer, which doubles for each attempt
	askAgain   = 10 * time.Second
	leastLease = time.Minute // what a server is taken to mean when it says less
)

// Keep keeps a link supplied with a lease until ctx ends, and gives it back then. It calls got with each lease that differs from the
// one before, and with an error while there is none; it goes on after that.
func Keep(ctx context.Context, link, hostname string, got func(*Lease, error)) {
	var lease *Lease
	for ctx.Err() == nil {
		next, err := ask(ctx, link, hostname, lease)
		if err != nil && ctx.Err() == nil {
			lease = nil
			got(nil, fmt.Errorf("ask for an address on %s: %w", link, err))
			pause(ctx, askAgain)
			continue
		}
		if err == nil {
			lease = next
			got(lease, nil)
			pause(ctx, lease.lasts/2) // T1 of RFC 2131
		}
	}
	if lease != nil {
		giveBack(link, lease)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ask renews a lease, or asks for a new one. A lease that cannot be renewed is asked for anew, which gives the
// same address wherever the server still holds it.
func ask(ctx context.Context, link, hostname string, had *Lease) (*Lease, error) {
	c, err := nclient4.New(link, nclient4.WithTimeout(askTimeout), nclient4.WithRetry(2))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var options []dhcpv4.Modifier
	if hostname != "" {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptHostName(hostname)))
	}
	if had != nil {
		if renewed, err := c.Renew(ctx, had.lease, options...); err == nil {
			return read(renewed)
		}
	}
	lease, err := c.Request(ctx, options...)
	if err != nil {
		return nil, err
	}
	return read(lease)
}

func read(lease *nclient4.Lease) (*Lease, error) {
	ack := lease.ACK
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	bits, _ := net.IPMask(ack.SubnetMask()).Size()
	if !ok || bits == 0 {
		return nil, fmt.Errorf("the server's answer has no address with a mask")
	}
	l := &Lease{Address: netip.PrefixFrom(address, bits), lease: lease, lasts: max(ack.IPAddressLeaseTime(time.Hour), leastLease)}
	for _, ip := range ack.Router() {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok {
			l.Gateway = a
			break
		}
	}
	for _, ip := range ack.DNS() {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok {
			l.Nameservers = append(l.Nameservers, a)
		}
	}
	return l, nil
}

// giveBack is a courtesy: without it the server waits until the lease ends.
func giveBack(link string, lease *Lease) {
	if c, err := nclient4.New(link); err == nil {
		_ = c.Release(lease.lease)
		_ = c.Close()
	}
}
