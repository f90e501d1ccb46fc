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
	ends        time.Time
	lease       *nclient4.Lease
}

// The times of a client without answers.
const (
	askTimeout = 2 * time.Second // for one answer, which doubles for each attempt
	askAgain   = 10 * time.Second
	leastLease = time.Minute // what a server is taken to mean when it says less
)

// Keep keeps a link supplied with a lease until ctx ends, and gives it back then. It calls got with each lease, and once
// with an error when there is none any more, or none yet; it goes on after that. A lease that cannot be renewed is good until it ends.
func Keep(ctx context.Context, link, hostname string, got func(*Lease, error)) {
	var lease *Lease
	told := false // that there is none
	for ctx.Err() == nil {
		next, err := ask(ctx, link, hostname, lease)
		switch {
		case err == nil:
			lease, told = next, false
			got(lease, nil)
			pause(ctx, lease.lasts/2) // T1 of RFC 2131
		case ctx.Err() != nil:
		default:
			if lease != nil && time.Now().After(lease.ends) {
				lease = nil
			}
			if lease == nil && !told {
				told = true
				got(nil, fmt.Errorf("ask for an address on %s: %w", link, err))
			}
			pause(ctx, askAgain)
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
	defer func() { _ = c.Close() }()
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
	lasts := max(ack.IPAddressLeaseTime(time.Hour), leastLease)
	l := &Lease{Address: netip.PrefixFrom(address, bits), lease: lease, lasts: lasts, ends: time.Now().Add(lasts)}
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
