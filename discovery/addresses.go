package discovery

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// maxMisses is the number of consecutive answers without an address after which the address is removed.
	maxMisses = 3
	// maxAddresses is the largest number of addresses of one family of a target.
	maxAddresses = 64
)

// Addresses holds the addresses of a target.
type Addresses struct {
	Addresses []netip.Addr // IPv4 first, each family in order
	Since     time.Time    // time of the last change
}

// family is an address family.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

// seenAddress is an address and the number of consecutive answers without it.
type seenAddress struct {
	addr   netip.Addr
	missed int
}

// addresses holds the known addresses of a target, by family and in order.
type addresses [families][]seenAddress

// any reports whether there is an address.
func (a *addresses) any() bool { return len(a[ipv4])+len(a[ipv6]) > 0 }

// list returns all addresses, IPv4 first.
func (a *addresses) list() []netip.Addr {
	all := make([]netip.Addr, 0, len(a[ipv4])+len(a[ipv6]))
	for _, sightings := range a {
		for _, s := range sightings {
			all = append(all, s.addr)
		}
	}
	return all
}

// restore returns the known addresses of a target before its first lookup, from saved addresses. They come from a file,
// so restore leaves out those that no answer may have.
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

// after returns the known addresses of a family after an answer that lists seen, and the number of addresses in seen
// that exceed the limit:
//
//	known  in the answer  answers without it before  result
//	no     yes            -                          known, up to the limit
//	yes    yes            -                          known
//	yes    no             fewer than two             known
//	yes    no             two                        removed
//
// It returns a new slice: the old one may still be read.
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
