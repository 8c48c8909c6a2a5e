package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/zones"
)

// fastPath answers an eligible query by appending pre-rendered records to out. The slow path
// gives the same answers.
func (r *Responder) fastPath(out []byte, source netip.Addr, stream bool) []byte {
	q, s := &r.query, r.at.active
	a := s.newReply(out, q, stream)
	r.chain.reset()
	name, spelled := q.name, dnsname.Wire(q.packet[HeaderSize:q.end-4])
	for range maxChain {
		next := r.find(&a, name, spelled, source)
		if next == nil || !r.chain.follow(q.name, next, len(a.out)-a.base-len(next)) {
			break
		}
		name, spelled = r.chain.targets[r.chain.n-1].folded(), next
		a.owner = r.pointTo(name)
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
	q, data := &r.query, r.at.active.zones
	match := data.Lookup(name, q.qtype)
	if r.chain.n == 0 {
		r.countZone(match)
	}
	switch match.Kind {
	case zones.Refused:
		if r.chain.n == 0 {
			a.rcode = dns.RcodeRefused
		}
	case zones.NXDomain:
		a.rcode = dns.RcodeNameError
		r.negative(a, match.Zone)
	case zones.Referral:
		r.referral(a, match.Node)
	case zones.DName:
		return r.fastSynthesis(a, spelled, match.Node)
	case zones.Exact, zones.Wildcard:
		return r.fastData(a, match, source)
	}
	return nil
}

// fastData answers from a node and returns the target if it is an alias.
func (r *Responder) fastData(a *reply, match zones.Match, source netip.Addr) (next dnsname.Wire) {
	q, data := &r.query, r.at.active.zones
	if binding, ok := data.Balanced(match.Node); ok {
		q.edns.decidedBy(binding)
		if balances(binding, q.qtype) {
			return r.fastBalanced(a, match, binding, source)
		}
	}
	if set, ok := data.RRset(match.Node, q.qtype); ok {
		a.flags |= flagAA
		a.rrset(answerSection, set, a.owner)
		return nil
	}
	if set, ok := data.RRset(match.Node, dns.TypeCNAME); ok {
		return r.fastAlias(a, set)
	}
	r.negative(a, match.Zone)
	return nil
}

// fastBalanced answers from a pool and returns the target if the pool answers with a CNAME.
func (r *Responder) fastBalanced(a *reply, match zones.Match, binding zones.Binding, source netip.Addr) (next dnsname.Wire) {
	q, s := &r.query, r.at.active
	who := s.clientAt(binding, &q.edns.subnet, source)
	if !a.drawn {
		a.draw, a.drawn = r.draw(), true
	}
	r.at.scratch.Time, r.at.scratch.TTL = r.now, binding.TTL
	d := s.snapshot.Pools.Decide(pools.Request{
		Pool: binding.Pool, Family: family(q.qtype), Both: service(binding, q.qtype),
		Answers: binding.Answers, Client: who.addr, Draw: pools.DrawOfHop(a.draw, a.hops),
	}, r.at.scratch)
	r.countDecision(binding.Pool, d.Mode)
	a.scope = max(a.scope, who.scopeOf(d))
	a.failedOpen = a.failedOpen || d.Mode == pools.FailedOpen
	if cname := r.at.scratch.CName; cname != nil {
		a.flags |= flagAA
		a.hops++
		a.cname(cname, binding.TTL)
		if q.qtype == dns.TypeCNAME {
			return nil
		}
		return r.chain.spell(cname)
	}
	if service(binding, q.qtype) {
		a.flags |= flagAA
		a.service(s.zones.Service(binding.HTTPS), r.at.scratch.Addrs, binding.TTL)
		return nil
	}
	if addrs := r.at.scratch.Addrs; len(addrs) > 0 && isAddress(q.qtype) {
		a.flags |= flagAA
		a.addresses(addrs, q.qtype, binding.TTL)
		return nil
	}
	r.negative(a, match.Zone)
	return nil
}

// balances reports whether the pool answers a type: addresses, the HTTPS record, and every type
// if it may answer a CNAME, which applies to all types (RFC 1034 3.6.2).
func balances(binding zones.Binding, qtype uint16) bool {
	return isAddress(qtype) || service(binding, qtype) || binding.CName != zones.NoCName
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

// negative adds the SOA for negative caching (RFC 2308 3).
func (r *Responder) negative(a *reply, zone zones.ZoneID) {
	data := r.at.active.zones
	a.flags |= flagAA
	a.rrset(authoritySection, data.Negative(zone), r.pointTo(data.Apex(zone)))
}

// referral adds the name servers of the zone below the cut at node, and their addresses as glue
// (RFC 1034 4.3.2 3b).
func (r *Responder) referral(a *reply, node zones.NodeID) {
	data := r.at.active.zones
	servers, _ := data.RRset(node, dns.TypeNS)
	a.rrset(authoritySection, servers, r.pointTo(data.NodeName(node)))
	for _, ns := range data.Glue(node) {
		a.glue(data.GlueRecords(ns))
	}
}
