package answer

import (
	"bytes"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// alias adds a CNAME and continues with its target.
func (q *question) alias(owner dnsname.Wire, set zones.RRset) (next dnsname.Wire, more bool) {
	q.answer(owner, set)
	return bytes.Clone(set.Data[2:]), true
}

// synthesis adds the DNAME at node, an ancestor of owner, and the CNAME synthesized from it for
// owner (RFC 6672 3.1), and continues with the new name. A name that is too long gives YXDOMAIN
// (3.2). A loop ends the answer. A question for ANY or CNAME ends at the CNAME.
func (q *question) synthesis(owner dnsname.Wire, node zones.NodeID) (next dnsname.Wire, more bool) {
	data := q.serving.zones
	above := data.NodeName(node)
	set, _ := data.RRset(node, dns.TypeDNAME)
	dname, ok := set.RRs(above.String())[0].(*dns.DNAME)
	if !ok {
		panic("server: a DNAME match without a DNAME")
	}
	prefix := owner[: len(owner)-len(above) : len(owner)-len(above)]
	again, loops := q.dnames.add(node, len(prefix))
	if loops {
		q.end = chainLoops
		return nil, false
	}
	if !again {
		q.msg.Authoritative = true
		q.msg.Answer = append(q.msg.Answer, dname)
		q.sign(&q.msg.Answer, above, node, set, set.TTL)
	}
	next = append(prefix, parseWire(dname.Target)...)
	if len(next) > dnsname.MaxSize {
		q.msg.Rcode = dns.RcodeYXDomain
		return nil, false
	}
	q.msg.Answer = append(q.msg.Answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: owner.String(), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: set.TTL},
		Target: next.String(),
	})
	return next, q.qtype != dns.TypeANY && q.qtype != dns.TypeCNAME
}

// parseWire converts a name from the presentation form of miekg/dns, which has unpacked it before.
func parseWire(s string) dnsname.Wire {
	wire, err := dnsname.ParseWire(s)
	if err != nil {
		panic("server: a name that does not pack: " + s)
	}
	return wire
}
