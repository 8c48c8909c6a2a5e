package answer

import (
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/snapshot"
	"meridian/zones"
)

// denial is how a zone proves that a name or type does not exist.
type denial uint8

const (
	noDenial      denial = iota // not signed
	compactDenial               // by one NSEC record made for the question
	chainDenial                 // by the NSEC records of all names
	fileDenial                  // presigned, by NSEC records
	hashDenial                  // presigned, by NSEC3 records
)

// denialsOf returns how each zone denies, by zones.ZoneID; nil if no zone is signed or presigned.
func denialsOf(s *snapshot.Snapshot) []denial {
	all := make([]denial, len(s.Config.Zones))
	for i := range all {
		if p := s.Zones.Presigned(zones.ZoneID(i)); p != nil {
			if all[i] = fileDenial; p.Hashes != nil {
				all[i] = hashDenial
			}
		}
		if signed := s.Signing.Of(zones.ZoneID(i)); signed != nil {
			if all[i] = compactDenial; signed.Denial() == dnssec.Chain {
				all[i] = chainDenial
			}
		}
	}
	if !slices.ContainsFunc(all, func(d denial) bool { return d != noDenial }) {
		return nil
	}
	return all
}

// askedNSEC returns the NSEC set that a question for it gets at the name of match: that of the chain, which an empty
// non-terminal does not have, or one with all types.
func (g *signatures) askedNSEC(s *activeSnapshot, zone *dnssec.Zone, match zones.Match, name []byte) (zones.RRset, bool) {
	if zone.Denial() == dnssec.Compact {
		return g.nsec(s, zone, match.Zone, name, match.Node, 0), true
	}
	if s.chains.At(match.Node) != match.Node {
		return zones.RRset{}, false
	}
	return g.chainNSEC(s, match.Node), true
}

// nsec returns the NSEC set of the name of a question, which proves that it has no records of qtype (RFC 9824 3):
//
//	name                        next name                   types
//	does not exist (node 0)     its first descendant        RRSIG NSEC NXNAME
//	a zone cut                  the next one not below it   NS RRSIG NSEC, and DS
//	exists, or by a wildcard    its first descendant        all that any client can get, without qtype
//
// qtype 0 leaves no type out.
func (g *signatures) nsec(s *activeSnapshot, zone *dnssec.Zone, id zones.ZoneID, name []byte, node zones.NodeID, qtype uint16) zones.RRset {
	g.types, g.next, g.data = g.types[:0], g.next[:0], g.data[:0]
	switch {
	case node == 0:
		g.types = dnssec.AppendNameError(g.types)
		g.next = dnssec.AppendSuccessor(g.next, name, zone.Name())
	case s.zones.Delegates(node):
		g.types = dnssec.AppendSigned(s.zones.AppendTypes(g.types, node))
		g.next = dnssec.AppendSibling(g.next, name, zone.Name())
	default:
		g.types = s.zones.AppendTypes(g.types, node)
		if s.zones.IsApex(node) {
			g.types = zone.AppendApexTypes(g.types)
		}
		g.types = slices.DeleteFunc(g.types, func(t uint16) bool { return t == qtype })
		g.types = dnssec.AppendSigned(g.types)
		g.next = dnssec.AppendSuccessor(g.next, name, zone.Name())
	}
	g.data = dnssec.AppendNSEC(g.data, g.next, g.types)
	return zones.RRset{Type: dns.TypeNSEC, TTL: s.zones.Negative(id).TTL, Count: 1, Data: g.data}
}

// deny adds the proof that the current name has no records of the question's type, or with node 0 that it does not
// exist, after the SOA of the zone.
func (r *Responder) deny(a *reply, match zones.Match) {
	s, qtype, id, node := r.at.active, r.query.qtype, match.Zone, match.Node
	if !a.signs || s.denials[id] == noDenial {
		return
	}
	if apex, ok := s.zones.RRset(s.zones.ApexNode(id), dns.TypeSOA); ok {
		r.sign(a, authoritySection, signee{id, s.zones.ApexNode(id), s.zones.Apex(id)}, r.pointTo(s.zones.Apex(id)), s.zones.Negative(id), apex.TTL)
	}
	if r.signatures.denyFromZone(s, match, a.name, qtype) {
		return
	}
	if node == 0 && a.rcode == dns.RcodeNameError && !r.query.edns.co {
		a.rcode = dns.RcodeSuccess // RFC 9824 3.1
	}
	nsec := r.signatures.nsec(s, s.signed[id], id, a.name, node, qtype)
	a.rrset(authoritySection, nsec, a.owner)
	r.sign(a, authoritySection, signee{id, node, a.name}, a.owner, nsec, nsec.TTL)
}

// signedReferral adds the DS set of the cut at node, or the proof that there is none (RFC 4035 3.1.4.1).
func (r *Responder) signedReferral(a *reply, id zones.ZoneID, node zones.NodeID) {
	s := r.at.active
	if !a.signs || s.denials[id] == noDenial {
		return
	}
	cut := s.zones.NodeName(node)
	set, ok := s.zones.RRset(node, dns.TypeDS)
	switch {
	case ok:
	case r.signatures.denyFromZone(s, zones.Match{Kind: zones.Referral, Zone: id, Node: node}, cut, dns.TypeDS):
		return
	default:
		set = r.signatures.nsec(s, s.signed[id], id, cut, node, 0)
	}
	at := r.pointTo(cut)
	a.rrset(authoritySection, set, at)
	r.sign(a, authoritySection, signee{id, node, cut}, at, set, set.TTL)
}

// deny is Responder.deny on the slow path. owner is the current name.
func (q *question) deny(owner dnsname.Wire) {
	s, id, node := q.serving, q.match.Zone, q.match.Node
	if q.signatures == nil || s.denials[id] == noDenial {
		return
	}
	if soa, ok := s.zones.RRset(s.zones.ApexNode(id), dns.TypeSOA); ok {
		q.sign(&q.msg.Ns, s.zones.Apex(id), s.zones.ApexNode(id), s.zones.Negative(id), soa.TTL)
	}
	if q.signatures.denyFromZone(s, q.match, owner.Folded(), q.qtype) {
		return
	}
	if node == 0 && q.msg.Rcode == dns.RcodeNameError && !q.compactOK {
		q.msg.Rcode = dns.RcodeSuccess
	}
	q.addNSEC(owner, node, q.qtype)
}

// addNSEC adds the NSEC record of owner, and its signatures.
func (q *question) addNSEC(owner dnsname.Wire, node zones.NodeID, qtype uint16) {
	zone := q.serving.signedZone(q.match.Zone)
	nsec := q.signatures.nsec(q.serving, zone, q.match.Zone, owner.Folded(), node, qtype)
	q.msg.Ns = append(q.msg.Ns, nsec.RRs(owner.String())...)
	q.sign(&q.msg.Ns, owner, node, nsec, nsec.TTL)
}

// signedReferral is Responder.signedReferral on the slow path.
func (q *question) signedReferral(node zones.NodeID) {
	if q.signatures == nil || q.serving.denials[q.match.Zone] == noDenial {
		return
	}
	cut := q.serving.zones.NodeName(node)
	set, ok := q.serving.zones.RRset(node, dns.TypeDS)
	switch {
	case ok:
	case q.signatures.denyFromZone(q.serving, zones.Match{Kind: zones.Referral, Zone: q.match.Zone, Node: node}, cut, dns.TypeDS):
		return
	default:
		q.addNSEC(cut, node, 0)
		return
	}
	q.msg.Ns = append(q.msg.Ns, set.RRs(cut.String())...)
	q.sign(&q.msg.Ns, cut, node, set, set.TTL)
}
