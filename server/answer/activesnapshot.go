package answer

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnssec"
	"meridian/pools"
	"meridian/server/limit"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/zones"
)

// The options that an answer may carry (RFC 5001, RFC 7871, RFC 7873).
const (
	optionNSID   = dns.EDNS0NSID
	optionSubnet = dns.EDNS0SUBNET
	optionCookie = dns.EDNS0COOKIE
	optionEDE    = dns.EDNS0EDE // RFC 8914

	optionZoneVersion = dns.EDNS0ZONEVERSION // RFC 9660

	optionReportChannel = dns.EDNS0REPORTING // RFC 9567
)

const (
	minUDPSize = 512   // supported by every client (RFC 1035 2.3.4, RFC 6891 6.2.3)
	MaxSize    = 65535 // the capacity of a TCP frame
)

// activeSnapshot holds a snapshot and the values derived from it once for all queries. It is
// immutable.
type activeSnapshot struct {
	snapshot  *snapshot.Snapshot
	zones     *zones.Data
	config    *config.Server
	answers   *answerCounts
	log       *logPolicy     // nil: no query is logged
	udpSize   uint16         // largest UDP answer
	unproved  uint16         // the same without a valid cookie
	cookies   *limit.Cookies // never nil
	rates     *limit.Rates   // nil: there is no limit
	exempt    *bart.Lite     // clients without a limit
	proxies   *bart.Lite     // sources of packets with a PROXY header; nil: there are none
	nsid      []byte         // the NSID option of answers; empty: none
	usesTime  bool           // some pool's decision depends on the time
	readsECS  bool           // some name, or the server as a whole, uses client subnets
	ecsFrom   *bart.Lite     // sources of queries whose client subnet is used; nil: all
	restricts bool           // some zone refuses some clients
	updates   bool           // some zone has dynamic updates
	signed    []*dnssec.Zone // by zones.ZoneID; nil: no zone is signed
	denials   []denial       // by zones.ZoneID; nil: no zone is signed or presigned
	chains    *zones.Chains  // of the zones that deny by NSEC chain
	widens    []bool         // by zones.ZoneID: its names have family: widen; nil: no zone has
	rotation  []bool         // by zones.ZoneID: its static record sets are rotated; nil: none are
	variety   *variety       // bounds the draws of signed answers; nil: none is bounded
	signer    *dnssec.Signer // of signed zones

	defaults *transfer.Defaults // of transfers

	agent *agent // for errors of resolvers; nil: none

	sample  *resolverSample // nil: no resolver is observed
	records bool            // log or sample is not nil

	canary *activeCanary // decides for a share of the clients; nil: there is none
}

func newActiveSnapshot(snapshot *snapshot.Snapshot) *activeSnapshot {
	c := &snapshot.Config.Server
	s := &activeSnapshot{snapshot: snapshot, zones: snapshot.Zones, config: c, answers: newAnswerCounts(snapshot), udpSize: UdpSize(c)}
	if n := len(c.NSID); n > 0 {
		s.nsid = append([]byte{0, optionNSID, uint8(n >> 8), uint8(n)}, c.NSID...)
	}
	s.unproved = s.udpSize
	if c.UDPSizeWithoutCookie > 0 {
		s.unproved = min(s.udpSize, uint16(c.UDPSizeWithoutCookie))
	}
	s.exempt, s.proxies = networksOf(c.RateLimit.Exempt), networksOf(c.ProxyFrom)
	s.ecsFrom = networksOf(c.ECSFrom)
	s.restricts = snapshot.Zones.Restricts()
	s.updates = slices.ContainsFunc(snapshot.Config.Zones, func(z config.Zone) bool { return len(z.Update) > 0 })
	s.useCanary(nil)
	if snapshot.Signing != nil {
		s.signed = make([]*dnssec.Zone, len(snapshot.Config.Zones))
		copy(s.signed, snapshot.Signing.Zones) // those of catalogs have none
	}
	s.chains, s.denials = snapshot.Chains, denialsOf(snapshot)
	s.widens = widening(snapshot.Config)
	s.rotation = rotating(snapshot.Config)
	s.variety = newVariety(snapshot.Config, s.signed != nil)
	s.log = newLogPolicy(s)
	s.agent = newAgent(c, snapshot.Zones)
	s.defaults = transfer.NewDefaults(snapshot.Zones, snapshot.Pools, snapshot.Live)
	return s
}

// withZones returns s for a snapshot that differs only by dynamic updates; nil: it differs otherwise. Its answers are counted
// together with those of s.
func (s *activeSnapshot) withZones(of *snapshot.Snapshot) *activeSnapshot {
	if s == nil || !of.DiffersByUpdates(s.snapshot) {
		return nil
	}
	next := *s
	next.snapshot, next.zones, next.chains = of, of.Zones, of.Chains
	next.agent = newAgent(s.config, of.Zones)
	next.defaults = transfer.NewDefaults(of.Zones, of.Pools, of.Live)
	return &next
}

// UdpSize returns the size of the largest UDP answer.
func UdpSize(c *config.Server) uint16 { return uint16(max(c.UDPSize, minUDPSize)) }

// limit returns the maximum length of the answer to q.
func (s *activeSnapshot) limit(q *query, stream bool) int {
	switch {
	case stream:
		return MaxSize
	case q.edns.proved:
		return int(min(max(q.edns.size, minUDPSize), s.udpSize))
	case q.edns.present:
		return int(min(max(q.edns.size, minUDPSize), s.unproved))
	}
	return minUDPSize
}

// clientScope is the client that an answer is for, and the rule for the answer's scope.
type clientScope struct {
	addr        netip.Addr // the address that decides
	scope       scopeRule
	bits        uint8 // added by the rule
	crossFamily bool  // the decision is made in another address family than that of the subnet
}

// scopeRule says how the scope of an answer follows from its decision.
type scopeRule uint8

const (
	scopeZero    scopeRule = iota // the answer is valid for every subnet
	scopeDecided                  // the decision's scope plus bits
	scopeFixed                    // bits
)

// client finds the deciding client:
//
//	client subnet                       decides            scope
//	none, or ecs: false                 packet's source    (no option in the answer)
//	source prefix 0                     packet's source    0
//	no location (private and so on)     packet's source    of the range without location
//	any other                           the subnet         of the decision
func (s *activeSnapshot) client(subnet *clientSubnet, source netip.Addr) clientScope {
	if !subnet.present || subnet.source == 0 {
		return clientScope{addr: source}
	}
	addr := subnet.addr.Unmap()
	mapped := uint8(subnet.addr.BitLen() - addr.BitLen()) // 96 for an IPv4-mapped address
	if bits, private := s.private(addr); private {
		return clientScope{addr: source, scope: scopeFixed, bits: mapped + uint8(bits), crossFamily: source.BitLen() != subnet.addr.BitLen()}
	}
	return clientScope{addr: addr, scope: scopeDecided, bits: mapped, crossFamily: mapped > 0}
}

// clientAt is client at a balanced name, where client subnets may be disabled.
func (s *activeSnapshot) clientAt(binding *zones.Binding, subnet *clientSubnet, source netip.Addr) clientScope {
	if !binding.ECS {
		return clientScope{addr: source}
	}
	return s.client(subnet, source)
}

// decidedBy records that the answer is from a balanced name, which decides whether the answer
// carries the client subnet. If ecs is false, the answer carries none, whatever its type: a
// resolver then keeps one answer for all its clients (RFC 7871 7.2.1, 7.3):
//
//	the answer is from           ecs of the name, its pool or the server  it carries
//	a pool                       true                                     the subnet, with the decision's scope
//	a balanced name, other type  true                                     the subnet, scope 0
//	a balanced name              false                                    none
//	several, of a chain          true at one                              the subnet
//	any other name               true (of the server)                     the subnet, scope 0
//	any other name               false (of the server)                    none
func (e *edns) decidedBy(ecs bool) {
	e.echo = e.decided && e.echo || ecs
	e.decided = true
}

// private calls Locator.PrivateECS. Fast path: nearly all addresses are of no kind for which it
// could return true, and this check costs a tenth of the call.
func (s *activeSnapshot) private(addr netip.Addr) (bits int, private bool) {
	if !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !addr.IsUnspecified() {
		return 0, false
	}
	return s.snapshot.Geo.PrivateECS(addr)
}

// scopeOf returns the scope of an answer that d decided for c. Scope 0 covers all clients of the
// family in which the decision was made; in another family it has no meaning.
func (c clientScope) scopeOf(d pools.Decision) uint8 {
	switch {
	case c.scope == scopeZero || d.Scope == 0 && !c.crossFamily:
		return 0
	case c.scope == scopeFixed:
		return c.bits
	}
	return c.bits + d.Scope
}
