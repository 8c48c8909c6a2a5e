package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer"
	"meridian/zones"
)

// Transfer is a transfer that a client may have. Its content does not depend on the current snapshot.
type Transfer struct {
	transfer.Request
	Zone    string
	Content *transfer.Content
}

// TakeTransfer returns the transfer that the last message asked for, in place of an answer; nil: it asked for none.
func (r *Responder) TakeTransfer() *Transfer {
	t := r.transfer
	r.transfer = nil
	return t
}

// answerTransfer answers a query of type AXFR or IXFR, and returns the extended error:
//
//	the client may not have the zone          REFUSED
//	the name is not that of a zone            REFUSED
//	pools: refuse, and it has balanced names  REFUSED
//	AXFR by UDP                               REFUSED (RFC 5936 4.2)
//	IXFR, the client has this serial          the SOA (RFC 1995 4)
//	IXFR by UDP                               the SOA: the client comes by TCP (RFC 1995 2)
//	any other                                 the whole zone, from Transfer
func (r *Responder) answerTransfer(msg *dns.Msg, source netip.Addr) (ede uint16) {
	q, s := &r.query, r.at.active
	zone, ok := s.zones.ApexOf(q.name)
	if !ok || !r.mayTransfer(zone, source) || q.qtype == dns.TypeAXFR && !r.Transfers {
		msg.Rcode = dns.RcodeRefused
		r.counts.add(uint32(TransfersRefused))
		return dns.ExtendedErrorCodeProhibited
	}
	if q.qtype == dns.TypeIXFR && (!r.Transfers || q.hasSerial(s.zones.Serial(zone))) {
		apex := s.zones.ApexNode(zone)
		soa, _ := s.zones.RRset(apex, dns.TypeSOA)
		msg.Authoritative = true
		msg.Answer = soa.RRs(s.zones.NodeName(apex).String())
		return 0
	}
	content, err := s.defaults.Content(s.snapshot.Config, zone)
	if err != nil {
		msg.Rcode = dns.RcodeServerFailure
		return 0
	}
	r.transfer = &Transfer{
		Request: transfer.Request{Head: append([]byte(nil), q.packet[:q.end]...), EDNS: q.edns.present, TSIG: r.tsig, Clock: r.engine.clock},
		Zone:    string(s.snapshot.Config.Zones[zone].Name), Content: content,
	}
	return 0
}

// mayTransfer reports whether the client may have a zone.
func (r *Responder) mayTransfer(zone zones.ZoneID, source netip.Addr) bool {
	z := &r.at.active.snapshot.Config.Zones[zone]
	peer := transfer.Peer{Source: source}
	if r.tsig != nil {
		peer.Key = r.tsig.Key()
	}
	return transfer.Allowed(z.Transfer.Out, peer) && (z.Transfer.Pools != config.RefusePools || len(z.Names) == 0)
}

// hasSerial reports whether the SOA in the query, that of the client's zone, has this serial or a later one (RFC 1982).
func (q *query) hasSerial(serial uint32) bool {
	var msg dns.Msg
	if msg.Unpack(q.packet) != nil || len(msg.Ns) == 0 {
		return false
	}
	soa, ok := msg.Ns[0].(*dns.SOA)
	return ok && int32(soa.Serial-serial) >= 0
}
