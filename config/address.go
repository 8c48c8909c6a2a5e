package config

import (
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// addr reads an IP address. An IPv4 address has exactly one accepted form. A zone (%eth0) is rejected: it has meaning
// on one machine only.
func (d *decoder) addr(n *yaml.Node) (netip.Addr, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		d.errorf(n, quote(s)+" is not an IP address", addrHint(s))
	case a.Zone() != "":
		d.errorf(n, quote(s)+" has a zone", "write "+a.WithZone("").String())
	case a.Is4In6():
		d.errorf(n, quote(s)+" is an IPv4 address in IPv6 form", "write "+a.Unmap().String())
	default:
		return a, true
	}
	return netip.Addr{}, false
}

func addrHint(s string) string {
	if trimmed := trimZeros(s); trimmed != s {
		if _, err := netip.ParseAddr(trimmed); err == nil {
			return "octets have no leading zeros: write " + trimmed
		}
	}
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return "write the address without a length: " + prefix.Addr().String()
	}
	if addrPort, err := netip.ParseAddrPort(s); err == nil {
		return "write the address without a port: " + addrPort.Addr().String()
	}
	return "write it like 192.0.2.1 or 2001:db8::1"
}

// trimZeros removes leading zeros from the octets of an IPv4 address.
func trimZeros(s string) string {
	s, length, _ := strings.Cut(s, "/")
	octets := strings.Split(s, ".")
	if len(octets) != 4 {
		return s
	}
	for i, octet := range octets {
		if octets[i] = strings.TrimLeft(octet, "0"); octets[i] == "" && octet != "" {
			octets[i] = "0"
		}
	}
	if length != "" {
		length = "/" + length
	}
	return strings.Join(octets, ".") + length
}

// unicast reads an address that an answer may carry.
func (d *decoder) unicast(n *yaml.Node) (netip.Addr, bool) {
	a, ok := d.addr(n)
	if !ok {
		return a, false
	}
	what := notUnicast(a)
	if what == "" {
		return a, true
	}
	d.errorf(n, quote(n.Value)+" "+what, "a client connects to one host's address")
	return netip.Addr{}, false
}

// notUnicast returns the reason why an answer may not carry a, or "" if it may.
func notUnicast(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	}
	return ""
}

// unicasts reads a list of one or more addresses.
func (d *decoder) unicasts(to *[]netip.Addr) setter {
	return func(n *yaml.Node) {
		*to = slices.Grow(*to, len(n.Content))
		ok := d.list(n, func(item *yaml.Node) {
			if a, ok := d.unicast(item); ok {
				*to = append(*to, a)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one address")
		}
	}
}

// prefix reads a network without host bits.
func (d *decoder) prefix(n *yaml.Node) (netip.Prefix, bool) {
	s := n.Value
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		d.errorf(n, quote(s)+" is not a network", prefixHint(s))
	case p.Addr().Is4In6():
		d.errorf(n, quote(s)+" is an IPv4 network in IPv6 form", mappedHint(p))
	case p != p.Masked():
		d.errorf(n, quote(s)+" has host bits set", "write "+p.Masked().String())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

func prefixHint(s string) string {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return "write " + netip.PrefixFrom(a, a.BitLen()).String() + " for this one address"
	}
	if trimmed := trimZeros(s); trimmed != s {
		if p, err := netip.ParsePrefix(trimmed); err == nil {
			return "octets have no leading zeros: write " + p.Masked().String()
		}
	}
	return "write it like 192.0.2.0/24 or 2001:db8::/32"
}

// mappedBits is the length of the prefix of IPv4-mapped addresses (RFC 4291 2.5.5.2).
const mappedBits = 96

func mappedHint(p netip.Prefix) string {
	if p.Bits() < mappedBits {
		return "write IPv4 networks in their own form"
	}
	return "write " + netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked().String()
}

// ParseNetwork parses an address, as a network of one address, or a network. An IPv4 network in IPv6 form is none.
func ParseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, false
	}
	return p.Masked(), true
}
