package answer

import (
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/zones"
)

// maxProofs is the largest number of NSEC records of chains in an answer: one for each alias by a wildcard, and two
// for the last name, or three NSEC3 records.
const maxProofs = maxChain + 3

// proofs holds the nodes with the NSEC records that prove an answer, each once.
type proofs struct {
	n     int
	nodes [maxProofs]zones.NodeID
}

func (p *proofs) add(node zones.NodeID) {
	if node != 0 && !slices.Contains(p.nodes[:p.n], node) && p.n < maxProofs {
		p.nodes[p.n] = node
		p.n++
	}
}

// denyFromZone collects the NSEC or NSEC3 records that deny qtype at the name of match. It returns false if they do not.
func (g *signatures) denyFromZone(s *activeSnapshot, match zones.Match, name dnsname.Wire, qtype uint16) bool {
	switch s.denials[match.Zone] {
	case compactDenial:
		return false
	case hashDenial:
		g.denyByHash(s, match, name)
		return true
	}
	return g.denyByChain(s, match, name, qtype)
}

// proveExpansion collects the record that proves that a name does not exist, which a wildcard answers for.
func (g *signatures) proveExpansion(s *activeSnapshot, id zones.ZoneID, name dnsname.Wire, wildcard zones.NodeID) {
	if s.denials[id] == hashDenial {
		g.proofs.add(s.hashes(id).Cover(nextCloser(name, s.zones.NodeName(wildcard).Parent())))
		return
	}
	g.proofs.add(s.chains.Before(id, name))
}

// denyByChain collects the NSEC records that deny qtype at the name of match (RFC 4035 3.1.3):
//
//	name                     NSEC records
//	does not exist           that covers it, that covers the wildcard
//	exists                   that of the name
//	empty non-terminal       that covers it
//	by a wildcard            that covers it, and as above those of the wildcard
//	a client gets none of    none, and the result is false: an NSEC record of the chain
//	the types that others    would have the type
//	get there
func (g *signatures) denyByChain(s *activeSnapshot, match zones.Match, name dnsname.Wire, qtype uint16) bool {
	switch {
	case match.Kind == zones.NXDomain:
		g.proofs.add(s.chains.Before(match.Zone, name))
		g.next = s.zones.AppendWildcard(g.next[:0], name)
		g.proofs.add(s.chains.Before(match.Zone, g.next))
		return true
	case s.chainHas(g, match.Node, qtype):
		return false
	case match.Kind == zones.Wildcard:
		g.proofs.add(s.chains.Before(match.Zone, name))
	}
	g.proofs.add(s.chains.At(match.Node))
	return true
}

// chainHas reports whether the NSEC record of a balanced name has a type, or a CNAME, which denies no other type.
func (s *activeSnapshot) chainHas(g *signatures, node zones.NodeID, qtype uint16) bool {
	if s.zones.Balanced(node) == nil {
		return false
	}
	g.types = s.zones.AppendTypes(g.types[:0], node)
	return s.zones.GivesCName(node) || slices.Contains(g.types, qtype)
}

// chainNSEC returns the NSEC set of a node in the chain of its zone. A resolver denies all types that are not in it to
// every client (RFC 8198): if a pool answers with an alias to some, CNAME is in it.
func (g *signatures) chainNSEC(s *activeSnapshot, node zones.NodeID) zones.RRset {
	id := s.zones.ZoneOf(node)
	g.types = s.zones.AppendTypes(g.types[:0], node)
	if s.zones.IsApex(node) {
		g.types = s.signed[id].AppendApexTypes(g.types)
	}
	if s.zones.GivesCName(node) {
		g.types = append(g.types, dns.TypeCNAME)
	}
	g.types = dnssec.AppendSigned(g.types)
	g.data = dnssec.AppendNSEC(g.data[:0], s.chains.Next(node), g.types)
	return zones.RRset{Type: dns.TypeNSEC, TTL: s.zones.Negative(id).TTL, Count: 1, Data: g.data}
}

// expands reports whether match is by the wildcard of a zone with an NSEC chain, or of a presigned one. Its sets are
// those of the wildcard, with its signatures, and a proof that the name does not exist (RFC 4035 3.1.3.3). With compact
// denial, each name that a wildcard matches has signatures of its own.
func (s *activeSnapshot) expands(match zones.Match) bool {
	return match.Kind == zones.Wildcard && s.denials != nil && s.denials[match.Zone] >= chainDenial
}

// proofSet returns the NSEC or NSEC3 set of a node.
func (g *signatures) proofSet(s *activeSnapshot, node zones.NodeID) zones.RRset {
	if s.denials[s.zones.ZoneOf(node)] == chainDenial {
		return g.chainNSEC(s, node)
	}
	set, ok := s.zones.RRset(node, dns.TypeNSEC3)
	if !ok {
		set, _ = s.zones.RRset(node, dns.TypeNSEC)
	}
	return set
}

// prove adds the NSEC records that were collected.
func (r *Responder) prove(a *reply) {
	g, s := &r.signatures, r.at.active
	for _, node := range g.proofs.nodes[:g.proofs.n] {
		owner, set := s.zones.NodeName(node), g.proofSet(s, node)
		at, placed := r.chain.place(r.query.name, owner)
		if placed {
			a.rrset(authoritySection, set, at)
		} else {
			at = a.named(owner, set)
		}
		r.sign(a, authoritySection, signee{s.zones.ZoneOf(node), node, owner}, at, set, set.TTL)
	}
	g.proofs.n = 0
}

// named adds a record to the authority section with its owner in full. It returns the offset of the owner, or 0 for the
// root. Of an empty set it adds nothing.
func (a *reply) named(owner dnsname.Wire, set zones.RRset) (at int) {
	if set.Count == 0 || !a.fits(len(owner)+recordFixed-2+len(set.Data)) {
		return 0
	}
	if at = len(a.out) - a.base; len(owner) == 1 {
		at = 0
	}
	a.out = append(a.out, owner...)
	a.fixed(set.Type, set.TTL)
	a.out = append(a.out, set.Data...)
	a.count[authoritySection]++
	return at
}

// prove is Responder.prove on the slow path.
func (q *question) prove() {
	g, s := q.signatures, q.serving
	if g == nil {
		return
	}
	for _, node := range g.proofs.nodes[:g.proofs.n] {
		owner, set := s.zones.NodeName(node), g.proofSet(s, node)
		q.match = zones.Match{Kind: zones.Exact, Zone: s.zones.ZoneOf(node), Node: node}
		q.msg.Ns = append(q.msg.Ns, set.RRs(owner.String())...)
		q.sign(&q.msg.Ns, owner, node, set, set.TTL)
	}
	g.proofs.n = 0
}
