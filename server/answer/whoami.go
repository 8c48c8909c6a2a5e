package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// appendWhoami appends the answer of a name with whoami to buf: the addresses that a query comes from. The set has no
// record if there is none of the type:
//
//	type    the record
//	A       the source of the packet, if it is an IPv4 address
//	AAAA    the source of the packet, if it is an IPv6 address
//	TXT     "resolver ADDRESS", and "subnet NETWORK" if the query has a client subnet that is used
//
// TTL 0 keeps it out of caches (RFC 1035 3.2.1). It is a few times as large as the query at most, whatever that has, so
// that forged sources gain nothing.
func appendWhoami(buf []byte, source netip.Addr, subnet netip.Prefix, qtype uint16) zones.RRset {
	set := zones.RRset{Type: qtype, Count: 1}
	switch {
	case qtype == dns.TypeA && source.Is4():
		v4 := source.As4()
		set.Data = append(append(buf[:0], 0, 4), v4[:]...)
	case qtype == dns.TypeAAAA && source.Is6():
		v6 := source.As16()
		set.Data = append(append(buf[:0], 0, 16), v6[:]...)
	case qtype == dns.TypeTXT:
		buf = append(append(buf[:0], 0, 0, 0), "resolver "...)
		buf = source.AppendTo(buf)
		buf[2] = byte(len(buf) - 3)
		if subnet.IsValid() {
			begin := len(buf)
			buf = append(append(buf, 0), "subnet "...)
			buf = subnet.AppendTo(buf)
			buf[begin] = byte(len(buf) - begin - 1)
		}
		buf[1] = byte(len(buf) - 2)
		set.Data = buf
	default:
		set.Count = 0
	}
	return set
}

// fastWhoami answers with the addresses that the query comes from, and reports whether there are any of the type. The
// client subnet is used if the server uses any: then the answer carries it, and holds for it only.
func (r *Responder) fastWhoami(a *reply, source netip.Addr) bool {
	s, q := r.at.active, &r.query
	subnet := s.usedSubnet(&q.edns.subnet)
	q.edns.decidedBy(s.config.ECS)
	set := appendWhoami(r.setData, source, subnet, q.qtype)
	if set.Count == 0 {
		return false
	}
	r.setData = set.Data
	a.flags |= flagAA
	a.scope = max(a.scope, whoamiScope(subnet, q.qtype))
	a.rrset(answerSection, set, a.owner)
	return true
}

// whoami is fastWhoami for the slow path.
func (q *question) whoami(owner dnsname.Wire, qtype uint16) bool {
	subnet := q.serving.usedSubnet(q.subnet)
	q.decided, q.bySubnet = true, q.bySubnet || q.serving.config.ECS
	set := appendWhoami(nil, q.source, subnet, qtype)
	if set.Count == 0 {
		return false
	}
	if q.explain {
		q.note("the name has whoami: the answer is the source of the packet, and in TXT its client subnet")
	}
	q.scope = max(q.scope, whoamiScope(subnet, qtype))
	q.answer(owner, set)
	return true
}

// usedSubnet returns the client subnet of a query, or an invalid one if it has none or the server uses none.
func (s *activeSnapshot) usedSubnet(subnet *clientSubnet) netip.Prefix {
	if !s.config.ECS || !subnet.present || subnet.source == 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(subnet.addr, int(subnet.source))
}

// whoamiScope returns the scope of an answer: the whole prefix if the answer has the client subnet in it.
func whoamiScope(subnet netip.Prefix, qtype uint16) uint8 {
	if qtype == dns.TypeTXT && subnet.IsValid() {
		return uint8(subnet.Bits())
	}
	return 0
}
