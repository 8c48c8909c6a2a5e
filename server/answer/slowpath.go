package answer

import (
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// slowPath answers any message by way of a dns.Msg.
func (r *Responder) slowPath(out []byte, sound bool, source netip.Addr, stream bool) []byte {
	r.counts.add(uint32(slowAnswered))
	q, s := &r.query, r.at.active
	base := len(out)
	sound = r.verify(sound)
	r.signatures.begin()
	a := r.reply(sound, source)
	room := r.withoutTSIG(s.limit(q, stream))
	limit := room
	if r.signatures.err != nil {
		return r.postpone(out, stream)
	}
	if r.transfer != nil || r.update != nil {
		r.leave(stream)
		return out
	}
	if q.edns.present {
		a.pseudo = append(a.pseudo, s.opt(q, a.msg.Rcode, a.scope, limit))
	}
	if q.edns.subnet.present && !q.edns.echo {
		limit -= optionHead + len(q.edns.subnet.raw) // reserved by begin before the decision
	}
	a.stream = stream
	if !stream {
		a.drawn = 0 // TCP can carry all of them
	}
	r.facts.scope = a.scope
	out, tc := pack(out, q, a, limit)
	if q.edns.present {
		out = a.extra.extendOPT(out, s.zones, len(packRecord(a.pseudo[0])), room-(len(out)-base))
	}
	r.count(a.msg.Rcode, tc)
	return r.appendTSIG(out, base)
}

// leave leaves a transfer or an update to the caller, which takes it. An update over UDP is postponed first; if too many
// wait, it gets no response, and the client tries again.
func (r *Responder) leave(stream bool) {
	switch {
	case r.transfer != nil:
		r.count(dns.RcodeSuccess, false)
	case !stream && r.postponed == nil:
		r.update = nil
		if r.Postpone == nil || !r.Postpone(r.query.packet, 0) {
			r.countQuery(noAnswer)
			r.counts.add(uint32(UpdatesRefused))
		}
	default:
		r.countQuery(noAnswer) // UpdatesMade or UpdatesRefused has the response
	}
}

// outcome is the result of the slow path before it is packed.
type outcome struct {
	msg    *dns.Msg // Rcode, Authoritative and the sections
	scope  uint8    // of the client subnet
	drawn  int      // how many of the answer's last records may be left out if they do not fit
	stream bool     // TCP: the client has no larger transport; glue that does not fit is left out
	extra  extras   // options of an OPT record
	pseudo []dns.RR // records about the message itself; they stay in a truncated one
}

// reply finds the outcome of the query:
//
//	query                                 outcome                                       extended error
//	signed with an error                  NOTAUTH (RFC 8945 5.2)
//	opcode UPDATE                         see answerUpdate                              18 prohibited, 20, 21
//	opcode NOTIFY                         see answerNotify                              18, or 20
//	another opcode than QUERY             NOTIMP                                        21 not supported
//	no question, with a cookie            NOERROR or BADCOOKIE (RFC 7873 5.4)
//	malformed                             FORMERR
//	unsupported EDNS version              BADVERS (RFC 6891 6.1.3)
//	class CH                              server identity, or REFUSED                   20 not authoritative
//	class other than IN                   REFUSED                                       21 not supported
//	AXFR or IXFR                          see answerTransfer                            18 prohibited
//	another non-data type                 NOTIMP, or FORMERR                            21, or 30 invalid query type
//	any other                             from the zones                                that of resolve
func (r *Responder) reply(sound bool, source netip.Addr) outcome {
	q := &r.query
	msg, ede := new(dns.Msg), uint16(0)
	switch {
	case r.tsigRcode() != dns.RcodeSuccess:
		msg.Rcode = r.tsigRcode()
		r.reportBadSignature()
	case q.opcode() != dns.OpcodeQuery:
		ede = r.answerOpcode(msg, sound, source)
	case q.asksForCookie():
		msg.Rcode = r.cookieRcode()
	case !sound:
		msg.Rcode = dns.RcodeFormatError
	case q.edns.version != 0:
		msg.Rcode = dns.RcodeBadVers
	case q.class == dns.ClassCHAOS:
		ede = r.at.active.chaosReply(msg, q)
	case q.class != dns.ClassINET:
		msg.Rcode, ede = dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported
	case q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR:
		ede = r.answerTransfer(msg, source)
	case metaType(q.qtype) && q.qtype != dns.TypeANY:
		msg.Rcode, ede = metaRcode(q.qtype)
	default:
		return r.resolve(msg, source)
	}
	return outcome{msg: msg, extra: extras{ede: ede}}
}

// answerOpcode answers a message that is not a query.
func (r *Responder) answerOpcode(msg *dns.Msg, sound bool, source netip.Addr) (ede uint16) {
	switch opcode := r.query.opcode(); {
	case opcode == dns.OpcodeUpdate:
		return r.answerUpdate(msg, sound, source)
	case opcode == dns.OpcodeNotify && sound:
		return r.answerNotify(msg, source)
	}
	msg.Rcode = dns.RcodeNotImplemented
	return dns.ExtendedErrorCodeNotSupported
}

// chaosReply fills in the answer of class CH, and returns its extended error.
func (s *activeSnapshot) chaosReply(msg *dns.Msg, q *query) (ede uint16) {
	if s.chaos(msg, dnsname.Wire(q.packet[HeaderSize:q.end-4]).String(), q.qtype); msg.Rcode == dns.RcodeRefused {
		return dns.ExtendedErrorCodeNotAuthoritative
	}
	return 0
}

// metaRcode returns the response code for a type that is not a data type, and the extended error. A transfer is refused,
// unless it is allowed: see answerTransfer.
func metaRcode(qtype uint16) (rcode int, ede uint16) {
	switch qtype {
	case dns.TypeAXFR, dns.TypeIXFR:
		return dns.RcodeRefused, dns.ExtendedErrorCodeProhibited
	case dns.TypeMAILA, dns.TypeMAILB, dns.TypeTKEY:
		return dns.RcodeNotImplemented, dns.ExtendedErrorCodeNotSupported
	}
	return dns.RcodeFormatError, dns.ExtendedErrorCodeInvalidQueryType
}

// resolve fills in msg from the zones.
func (r *Responder) resolve(msg *dns.Msg, source netip.Addr) outcome {
	s := r.at.active
	asked := question{
		serving: s, at: r.at, by: r.at, responder: r, qtype: r.query.qtype,
		subnet: &r.query.edns.subnet, source: source, draw: r.newDraw(), now: r.now, msg: msg, compactOK: r.query.edns.co,
	}
	if s.denials != nil && r.query.edns.do {
		asked.signatures = &r.signatures
	}
	asked.resolve(dnsname.Wire(r.query.packet[HeaderSize : r.query.end-4]))
	if asked.failedOpen {
		r.counts.add(uint32(failedOpen))
	}
	r.query.edns.echo = asked.usesECS()
	return outcome{msg: msg, scope: asked.scope, drawn: asked.drawn, extra: asked.extra}
}

// opt returns the OPT record of an answer with the given rcode, of at most limit octets. It omits
// the client subnet if the query is not answered.
func (s *activeSnapshot) opt(q *query, rcode int, scope uint8, limit int) *dns.OPT {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(s.udpSize)
	opt.SetExtendedRcode(uint16(rcode))
	if q.edns.do {
		opt.SetDo()
	}
	if q.edns.do && q.edns.co && s.denials != nil {
		opt.Hdr.Ttl |= ednsCO << 8
	}
	if nsid := s.nsidFor(q, limit); len(nsid) > 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: optionNSID, Data: nsid[optionHead:]})
	}
	if q.edns.cookie != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: optionCookie, Data: q.cookie[:]})
	}
	switch rcode {
	case dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeYXDomain, dns.RcodeRefused:
		if q.edns.carriesSubnet() {
			opt.Option = append(opt.Option, q.edns.subnet.option(scope))
		}
	}
	return opt
}

// option returns the subnet in the form of miekg/dns.
func (c *clientSubnet) option(scope uint8) *dns.EDNS0_SUBNET {
	o := &dns.EDNS0_SUBNET{Code: optionSubnet, SourceNetmask: c.source, SourceScope: scope}
	switch {
	case c.addr.Is4():
		o.Family, o.Address = familyIPv4, net.IP(c.addr.AsSlice())
	case c.addr.Is6():
		o.Family, o.Address = familyIPv6, net.IP(c.addr.AsSlice())
	}
	return o
}

// chaosTTL keeps answers about this server out of caches.
const chaosTTL = 0

// chaos answers the names for the identity of a server (RFC 4892), as configured.
func (s *activeSnapshot) chaos(msg *dns.Msg, name string, qtype uint16) {
	text := ""
	switch strings.ToLower(name) {
	case "version.bind.", "version.server.":
		text = s.config.Version
	case "id.server.", "hostname.bind.":
		text = s.config.NSID
	}
	if text == "" || qtype != dns.TypeTXT && qtype != dns.TypeANY {
		msg.Rcode = dns.RcodeRefused
		return
	}
	const maxString = 255
	txt := &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS, Ttl: chaosTTL}}
	for text != "" {
		part := text[:min(len(text), maxString)]
		txt.Txt = append(txt.Txt, strings.ReplaceAll(part, `\`, `\\`)) // miekg/dns has strings in presentation form
		text = text[len(part):]
	}
	msg.Authoritative = true
	msg.Answer = []dns.RR{txt}
}
