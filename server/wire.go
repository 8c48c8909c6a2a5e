package server

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/pools"
	"meridian/zones"
)

// wire is the fast path: it answers a plain query by appending pre-rendered
// records behind out. It reports false, having appended nothing, where only the full
// path can answer: at aliases. Whatever it answers, the full path answers alike.
func (r *Responder) wire(out []byte, source netip.Addr, stream bool) ([]byte, bool) {
	q, s := &r.query, r.at.serving
	match := s.snapshot.Lookup(q.name, q.qtype)
	a := s.newReply(out, q, stream)
	switch match.Kind {
	case zones.Refused:
		a.rcode = dns.RcodeRefused
	case zones.NXDomain:
		a.rcode = dns.RcodeNameError
		a.negative(s.snapshot, match.Zone, q)
	case zones.Referral:
		a.referral(s.snapshot, match.Node, q)
	case zones.Exact, zones.Wildcard:
		if !r.wireData(&a, match, source) {
			return out, false
		}
	default:
		return out, false
	}
	out = a.finish(s, q)
	r.count(int(a.rcode), a.flags&flagTC != 0)
	return out, true
}

// wireData answers from a node, and reports false at an alias.
func (r *Responder) wireData(a *reply, match zones.Match, source netip.Addr) bool {
	q, snap := &r.query, r.at.serving.snapshot
	if binding, ok := snap.Balanced(match.Node); ok && balances(binding, q.qtype) {
		if binding.CName == zones.CNameInside { // it may go on from there, and must be decided once
			return false
		}
		r.wireBalanced(a, match, binding, source)
		return true
	}
	set, ok := snap.RRset(match.Node, q.qtype)
	if ok {
		a.flags |= flagAA
		a.rrset(answerSection, set, questionName)
		return true
	}
	if _, alias := snap.RRset(match.Node, dns.TypeCNAME); alias {
		return false
	}
	a.negative(snap, match.Zone, q)
	return true
}

// wireBalanced answers from a pool.
func (r *Responder) wireBalanced(a *reply, match zones.Match, binding zones.Binding, source netip.Addr) {
	q, s := &r.query, r.at.serving
	who := s.client(&q.edns.subnet, source)
	d := r.decide(pools.Question{
		Pool: binding.Pool, Family: family(q.qtype), Both: service(binding, q.qtype),
		Answers: binding.Answers, Client: who.addr, Draw: r.draw(),
	})
	a.scope = who.scopeOf(d)
	if cname := r.at.scratch.CName; cname != nil {
		a.flags |= flagAA
		a.cname(cname, binding.TTL)
		return
	}
	if service(binding, q.qtype) {
		a.flags |= flagAA
		a.service(s.snapshot.Service(binding.HTTPS), r.at.scratch.Addrs, binding.TTL)
		return
	}
	if addrs := r.at.scratch.Addrs; len(addrs) > 0 && isAddress(q.qtype) {
		a.flags |= flagAA
		a.addresses(addrs, q.qtype, binding.TTL)
		return
	}
	a.negative(s.snapshot, match.Zone, q)
}

// decide asks the pools. The addresses are in the scratch.
func (r *Responder) decide(q pools.Question) pools.Decision {
	d := r.at.serving.snapshot.Pools.Decide(q, r.at.scratch)
	if d.Mode == pools.FailedOpen {
		r.tally[failedOpen]++
	}
	return d
}

// balances reports whether the pool answers a type: addresses, the HTTPS record
// that names them, and where it may answer a CNAME every type, since that stands for
// all (RFC 1034 3.6.2).
func balances(binding zones.Binding, qtype uint16) bool {
	return isAddress(qtype) || service(binding, qtype) || binding.CName != zones.NoCName
}

// isAddress reports whether a type holds addresses. A pool that is asked for
// another type has no data of it where it draws addresses.
func isAddress(qtype uint16) bool { return qtype == dns.TypeA || qtype == dns.TypeAAAA }

// family is the address family that a type of record holds; IPv4 for those that hold none.
func family(qtype uint16) pools.Family {
	if qtype == dns.TypeAAAA {
		return pools.IPv6
	}
	return pools.IPv4
}

// negative adds the SOA that lets a resolver remember that there is nothing (RFC 2308 3).
func (a *reply) negative(snap *zones.Snapshot, zone zones.ZoneID, q *query) {
	a.flags |= flagAA
	a.rrset(authoritySection, snap.Negative(zone), ancestor(q, len(snap.Apex(zone))))
}

// referral adds the name servers of the zone below the cut at node, and the
// addresses without which they could not be found (RFC 1034 4.3.2 3b).
func (a *reply) referral(snap *zones.Snapshot, node zones.NodeID, q *query) {
	servers, _ := snap.RRset(node, dns.TypeNS)
	a.rrset(authoritySection, servers, ancestor(q, len(snap.NodeName(node))))
	for _, ns := range snap.Glue(node) {
		a.glue(snap.NodeName(ns), snap, ns)
	}
}

// ancestor is where in the message the question's ancestor begins whose name is
// size octets long.
func ancestor(q *query, size int) int { return questionName + len(q.name) - size }
