package resolver

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// maxMisses is how many answers in a row may be without an address before it goes.
	maxMisses = 3
	// maxAddresses is how many addresses of one family a target may have.
	maxAddresses = 64
)

// Addresses are those of a target.
type Addresses struct {
	Addresses []netip.Addr // IPv4 first, each family in order
	Since     time.Time    // when they became so
}

// family is an address family.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

// seenAddress is an address and how many answers in a row have been without it.
type seenAddress struct {
	addr   netip.Addr
	missed int
}

// addresses are what is known of a target, by family and in order.
type addresses [families][]seenAddress

// any reports whether there is an address.
func (a *addresses) any() bool { return len(a[ipv4])+len(a[ipv6]) > 0 }

// list is all addresses, IPv4 first.
func (a *addresses) list() []netip.Addr {
	all := make([]netip.Addr, 0, len(a[ipv4])+len(a[ipv6]))
	for _, sightings := range a {
		for _, s := range sightings {
			all = append(all, s.addr)
		}
	}
	return all
}

// restore is what is known of a target before it is looked up, from addresses that
// are remembered. They come from a file: those that no answer could bring are left out.
func restore(addrs []netip.Addr) (known addresses) {
	var listed [families][]netip.Addr
	for _, addr := range addrs {
		switch {
		case !connectable(addr):
		case addr.Is4():
			listed[ipv4] = append(listed[ipv4], addr)
		default:
			listed[ipv6] = append(listed[ipv6], addr)
		}
	}
	for f := range families {
		known[f], _ = after(nil, listed[f])
	}
	return known
}

// after is what is known of a family after an answer that lists seen, and how
// many of seen found no room:
//
//	known  in the answer  answers without it before  then
//	no     yes            -                          known, as far as there is room
//	yes    yes            -                          known
//	yes    no             fewer than two             known
//	yes    no             two                        gone
//
// A new slice: the one before may be read still.
func after(known []seenAddress, seen []netip.Addr) (now []seenAddress, left int) {
	now = make([]seenAddress, 0, len(known)+len(seen))
	for _, s := range known {
		s.missed++
		if slices.Contains(seen, s.addr) {
			s.missed = 0
		}
		if s.missed < maxMisses {
			now = append(now, s)
		}
	}
	for _, addr := range seen {
		switch {
		case slices.ContainsFunc(now, func(s seenAddress) bool { return s.addr == addr }):
		case len(now) == maxAddresses:
			left++
		default:
			now = append(now, seenAddress{addr: addr})
		}
	}
	slices.SortFunc(now, func(a, b seenAddress) int { return a.addr.Compare(b.addr) })
	return now, left
}
