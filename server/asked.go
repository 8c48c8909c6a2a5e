package server

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"meridian/config"
)

// ParseAsked reads a question to be explained as people write it: qtype is A
// where it is empty; client, an address or a network, and resolver, an address,
// are none where they are.
func ParseAsked(name, qtype, client, resolver string) (asked Asked, err error) {
	if asked.Name, err = config.ParseName(name); err != nil {
		return asked, err
	}
	asked.Type = dns.TypeA
	if qtype != "" {
		if asked.Type, err = parseType(qtype); err != nil {
			return asked, err
		}
	}
	if client != "" {
		if asked.Client, err = parseNetwork(client); err != nil {
			return asked, fmt.Errorf("client: %w", err)
		}
	}
	if resolver != "" {
		if asked.Resolver, err = netip.ParseAddr(resolver); err != nil {
			return asked, fmt.Errorf("resolver: %q is not an address; e.g. 192.0.2.53", resolver)
		}
	}
	return asked, nil
}

// parseType reads a record type: its name, or TYPE and its number (RFC 3597 5).
func parseType(s string) (uint16, error) {
	upper := strings.ToUpper(s)
	if t, ok := dns.StringToType[upper]; ok {
		return t, nil
	}
	if number, ok := strings.CutPrefix(upper, "TYPE"); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("%q is not a record type; e.g. A, AAAA, TXT, TYPE65280", s)
}

// parseNetwork reads an address, as the network of itself, or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network; e.g. 198.51.100.7 or 198.51.100.0/24", s)
	}
	return p.Masked(), nil
}
