package answer

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/zones"
)

// fastPath answers an eligible query by appending pre-rendered records to out. The slow path
// gives the same answers.
func (r *Responder) fastPath(out []byte, source netip.Addr, stream bool) []byte {
	q, s := &r.query, r.at.active
	var a reply
	a.begin(s, out, q, stream)
	r.chain.reset()
	r.signatures.begin()
	name, spelled := q.name, dnsname.Wire(q.packet[HeaderSize:q.end-4])
	for range maxChain {
		next := r.find(&a, name, spelled, source)
		if next == nil || !r.chain.follow(q.name, next, a.target) {
			break
		}
		name, spelled = r.chain.targets[r.chain.n-1].folded(), next
		a.owner, a.name = r.pointTo(name), name
	}
	if r.signatures.proofs.n > 0 {
		r.prove(&a)
	}
	if r.signatures.err != nil && !a.spills {
		return r.postpone(a.out[:a.base], stream)
	}
	if a.failedOpen {
		r.counts.add(uint32(failedOpen))
	}
	r.facts.scope = a.scope
	out = a.finish(s, q)
	r.count(int(a.rcode), a.flags&flagTC != 0)
	return out
}

// find answers from the node at name. If that is an alias, next is its target; nil ends the
// answer.
func (r *Responder) find(a *reply, name []byte, spelled dnsname.Wire, source netip.Addr) (next dnsname.Wire) {
	q, s := &r.query, r.at.active
	match := s.zones.Lookup(name, q.qtype)
	if s.prohibits(match, source) {
		r.fastRefused(a, true)
		return nil
	}
	if r.chain.n == 0 && !r.takeFirst(&a.extra, match, source) {
		a.spills = true
		return nil
	}
	if a.wildcard = 0; a.signs && s.expands(match) {
		a.wildcard = match.Node
	}
	switch match.Kind {
	case zones.Refused:
		r.fastRefused(a, false)
	case zones.Unavailable:
		r.fastUnavailable(a, match.Zone)
	case zones.NXDomain:
		a.rcode = dns.RcodeNameError
		r.negative(a, match)
	case zones.Referral:
		r.referral(a, match)
	case zones.DName:
		return r.fastSynthesis(a, spelled, match)
	case zones.Exact, zones.Wildcard:
		return r.fastData(a, match, source)
	}
	return nil
}

// takeFirst counts the query for the zone of the lookup of its name, and takes what further options of the answer need of
// it. It returns false if the query must come again over TCP.
func (r *Responder) takeFirst(extra *extras, match zones.Match, source netip.Addr) bool {
	if match.Kind != zones.Refused {
		r.facts.zone, r.facts.located, r.facts.random = match.Zone, true, isRandom(match.Kind)
		if r.postponed == nil {
			r.at.answers.add(uint32(match.Zone))
		}
	}
	return r.at.active.agent == nil && !r.query.edns.zoneVersion || r.takeExtras(extra, match, source)
}

// takeExtras is takeFirst for an answer that may have further options.
func (r *Responder) takeExtras(extra *extras, match zones.Match, source netip.Addr) bool {
	s := r.at.active
	extra.found(s, &r.query, match)
	return !s.agent.isReport(match, r.query.qtype) || r.takeReport(source)
}

// fastData answers from a node and returns the target if it is an alias.
func (r *Responder) fastData(a *reply, match zones.Match, source netip.Addr) (next dnsname.Wire) {
	q, data := &r.query, r.at.active.zones
	if binding := data.Balanced(match.Node); binding != nil {
		if binding.Views != 0 {
			binding = r.inView(a, binding, source)
		}
		binding = data.ForType(binding, q.qtype)
		q.edns.decidedBy(binding.ECS)
		if r.at.canary != nil {
			binding = r.split(a, binding, source)
		}
		if balances(binding, q.qtype) {
			return r.fastBalanced(a, match, binding, source)
		}
	}
	if set, ok := data.RRset(match.Node, q.qtype); ok {
		a.flags |= flagAA
		if r.at.active.rotates(match.Zone, set.Count) {
			r.addRotated(a, set)
		} else {
			a.rrset(answerSection, set, a.owner)
		}
		if a.signs {
			r.sign(a, answerSection, signee{match.Zone, match.Node, a.name}, a.owner, set, set.TTL)
		}
		return nil
	}
	if set, ok := data.RRset(match.Node, dns.TypeCNAME); ok {
		return r.fastAlias(a, match, set)
	}
	if data.IsWhoami(match.Node) && r.fastWhoami(a, source) {
		return nil
	}
	if !r.fastSigned(a, match) {
		r.negative(a, match)
	}
	return nil
}

// fastBalanced answers from a pool and returns the target if the pool answers with a CNAME.
func (r *Responder) fastBalanced(a *reply, match zones.Match, binding *zones.Binding, source netip.Addr) (next dnsname.Wire) {
	q, s, by := &r.query, r.at.active, r.by
	who := by.active.clientAt(binding, &q.edns.subnet, source)
	if !a.drawn {
		a.draw, a.drawn = r.newDraw(), true
	}
	by.scratch.Time, by.scratch.TTL = r.now, binding.TTL
	signs := a.signs && s.signedZone(match.Zone) != nil
	if a.poolDraw = pools.DrawOfHop(a.draw, a.hops); signs && by.active.variety != nil {
		a.poolDraw = by.active.variety.bound(r.zoneBy(match), binding, s.signedOwner(a), a.poolDraw, r.now)
	}
	if binding.Gives(q.qtype) {
		return r.fastRecords(a, match, binding, who, signs)
	}
	d := by.active.snapshot.Pools.Decide(a.request(binding, q.qtype, who.addr), by.scratch)
	if by.active.widens != nil {
		d = by.active.widened(d, a.request(binding, q.qtype, who.addr), r.zoneBy(match), q.qtype, by.scratch)
	}
	r.countDecision(binding.Pool, d.Mode)
	a.scope = max(a.scope, who.scopeOf(d))
	a.failedOpen = a.failedOpen || d.Mode == pools.FailedOpen
	ttl := by.active.ttl(binding, q.qtype)
	switch {
	case by.scratch.CName != nil:
		return r.fastCName(a, match.Zone, ttl, signs)
	case service(binding, q.qtype):
		r.fastService(a, match.Zone, binding.HTTPS, ttl, signs)
	case len(by.scratch.Addrs) > 0 && isAddress(q.qtype):
		r.fastAddresses(a, match.Zone, ttl, signs)
	default:
		r.negative(a, match)
	}
	return nil
}

// request returns the request to the pool of a name. The fast path makes it twice rather than keeping it, which costs
// a copy on every answer.
func (a *reply) request(binding *zones.Binding, qtype uint16, client netip.Addr) pools.Request {
	return pools.Request{
		Pool: binding.Pool, Family: family(qtype), Both: service(binding, qtype),
		Answers: binding.Answers, Client: client, Draw: a.poolDraw,
	}
}

// fastCName adds the CNAME that a pool answers with, and returns its target.
func (r *Responder) fastCName(a *reply, id zones.ZoneID, ttl uint32, signs bool) (next dnsname.Wire) {
	cname := r.by.scratch.CName
	a.flags |= flagAA
	a.hops++
	a.cname(cname, ttl)
	if signs {
		r.signBalanced(a, id, dns.TypeCNAME, ttl, r.signatures.nameData(cname))
	}
	if r.query.qtype == dns.TypeCNAME {
		return nil
	}
	return r.chain.spell(cname)
}

// fastService adds the HTTPS record of a pool. A signed one has its hints in canonical order, so that all draws of the
// same addresses have one signature.
func (r *Responder) fastService(a *reply, id zones.ZoneID, v zones.Service, ttl uint32, signs bool) {
	a.flags |= flagAA
	if signs {
		slices.SortFunc(r.by.scratch.Addrs, netip.Addr.Compare)
	}
	begin := len(a.out)
	a.service(r.by.active.zones.Service(v), hinted(v, r.by.scratch.Addrs), ttl)
	if signs && !a.spills {
		r.signBalanced(a, id, dns.TypeHTTPS, ttl, a.out[begin+ownerSize(a.owner)+recordFixed-2:])
	}
}

// fastAddresses adds the addresses that a pool has drawn.
func (r *Responder) fastAddresses(a *reply, id zones.ZoneID, ttl uint32, signs bool) {
	a.flags |= flagAA
	addrs := r.by.scratch.Addrs
	if signs {
		addrs = addrs[:min(len(addrs), maxSignedAddresses)]
	}
	a.addresses(addrs, r.query.qtype, ttl)
	if signs {
		r.signBalanced(a, id, r.query.qtype, ttl, r.signatures.addressData(addrs))
	}
}

// balances reports whether the pool answers a type: addresses, the HTTPS record, the records of its members, and every
// type if it may answer a CNAME, which applies to all types (RFC 1034 3.6.2).
func balances(binding *zones.Binding, qtype uint16) bool {
	return isAddress(qtype) || service(binding, qtype) || binding.CName != zones.NoCName || binding.Gives(qtype)
}

// isAddress reports whether a type holds addresses. A pool that draws addresses answers other
// types with no data.
func isAddress(qtype uint16) bool { return qtype == dns.TypeA || qtype == dns.TypeAAAA }

// family returns the address family of a record type; IPv4 for types without addresses.
func family(qtype uint16) pools.Family {
	if qtype == dns.TypeAAAA {
		return pools.IPv6
	}
	return pools.IPv4
}

// signBalanced signs a set of one pool at the current name.
func (r *Responder) signBalanced(a *reply, id zones.ZoneID, qtype uint16, ttl uint32, data []byte) {
	r.sign(a, answerSection, signee{id, 0, a.name}, a.owner, zones.RRset{Type: qtype, TTL: ttl, Data: data}, ttl)
}

// ttl returns the TTL of an answer from a pool. An HTTPS record, and those of members, depend on both families.
func (s *activeSnapshot) ttl(binding *zones.Binding, qtype uint16) uint32 {
	if binding.DegradedTTL == 0 {
		return binding.TTL
	}
	tree, f := s.snapshot.Pools, family(qtype)
	if tree.Degraded(binding.Pool, f) || !isAddress(qtype) && tree.Degraded(binding.Pool, 1-f) {
		return binding.DegradedTTL
	}
	return binding.TTL
}

// negative adds the SOA for negative caching (RFC 2308 3), and the proof in a signed zone.
func (r *Responder) negative(a *reply, match zones.Match) {
	data := r.at.active.zones
	a.flags |= flagAA
	a.rrset(authoritySection, data.Negative(match.Zone), r.pointTo(data.Apex(match.Zone)))
	if a.signs {
		r.deny(a, match)
	}
}

// referral adds the name servers of the zone below the cut, and their addresses as glue (RFC 1034 4.3.2 3b).
func (r *Responder) referral(a *reply, match zones.Match) {
	data := r.at.active.zones
	servers, _ := data.RRset(match.Node, dns.TypeNS)
	a.rrset(authoritySection, servers, r.pointTo(data.NodeName(match.Node)))
	if a.signs {
		r.signedReferral(a, match.Zone, match.Node)
		r.prove(a)
	}
	for _, ns := range data.Glue(match.Node) {
		a.glue(data.GlueRecords(ns))
	}
}
