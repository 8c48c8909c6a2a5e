package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/zones"
)

// prohibits reports whether the zone of a match does not answer a client.
func (s *activeSnapshot) prohibits(match zones.Match, client netip.Addr) bool {
	return s.restricts && match.Kind != zones.Refused && !s.zones.Admits(match.Zone, client)
}

// fastRefused refuses a name that no zone of ours contains, or that is in a zone that does not answer the client. A chain
// of aliases ends before it.
func (r *Responder) fastRefused(a *reply, prohibited bool) {
	if r.chain.n == 0 {
		a.rcode, a.extra.ede = dns.RcodeRefused, r.countRefused(prohibited)
	}
}

// countRefused counts a refused query if its zone does not answer the client. It returns the extended error.
func (r *Responder) countRefused(byAccess bool) uint16 {
	if byAccess {
		r.counts.add(uint32(prohibited))
	}
	return refusedEDE(byAccess)
}

// refusedEDE returns the extended error of a name that is refused because its zone does not answer the client, or
// because no zone contains it.
func refusedEDE(byAccess bool) uint16 {
	if byAccess {
		return dns.ExtendedErrorCodeProhibited
	}
	return dns.ExtendedErrorCodeNotAuthoritative
}
