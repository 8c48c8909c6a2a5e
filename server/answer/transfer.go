package answer

import (
	"net/netip"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

// Transfer is a transfer that a client may have. Its content does not depend on the current snapshot.
type Transfer struct {
	transfer.Request
	Zone    string
	Content *transfer.Content // the whole zone; nil: only a change
	Change  *journal.Change
}

// Serial returns the serial that the client has after the transfer.
func (t *Transfer) Serial() uint32 {
	if t.Change != nil {
		return t.Change.To()
	}
	return t.Content.Serial()
}

// Kind returns what is transferred, for logs.
func (t *Transfer) Kind() string {
	if t.Change != nil {
		return "ixfr"
	}
	return "axfr"
}

// Messages yields the messages of the transfer, as those of transfer.Content.
func (t *Transfer) Messages(buf []byte) func(yield func(frame []byte) bool) {
	if t.Change != nil {
		return transfer.Difference(t.Change, &t.Request, buf)
	}
	return t.Content.Messages(&t.Request, buf)
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
//	the zone has no data                      SERVFAIL
//	IXFR, the client has this serial          the SOA (RFC 1995 4)
//	IXFR by UDP, the difference fits          the difference, if the journal has it
//	IXFR by UDP                               the SOA: the client comes by TCP (RFC 1995 2)
//	IXFR                                      the difference, if the journal has it, from Transfer
//	any other                                 the whole zone, from Transfer
func (r *Responder) answerTransfer(msg *dns.Msg, source netip.Addr) (ede uint16) {
	q, s := &r.query, r.at.active
	zone, ok := s.zones.ApexOf(q.name)
	why := "no zone has this name"
	if ok {
		why = r.transferRefusal(zone, source)
	}
	if why != "" || q.qtype == dns.TypeAXFR && !r.Transfers {
		msg.Rcode = dns.RcodeRefused
		r.counts.add(uint32(TransfersRefused))
		r.reportRefused(msg.Rcode, why)
		return dns.ExtendedErrorCodeProhibited
	}
	if missing := s.zones.Missing(zone); missing != 0 {
		msg.Rcode = dns.RcodeServerFailure
		return missingEDE(missing)
	}
	t := &Transfer{
		Request: transfer.Request{Head: append([]byte(nil), q.packet[:q.end]...), EDNS: q.edns.present, TSIG: r.tsig, Clock: r.engine.clock},
		Zone:    string(s.snapshot.Config.Zones[zone].Name),
	}
	if q.qtype == dns.TypeIXFR {
		current := false
		if t.Change, current = r.changeFor(zone); current || !r.Transfers {
			msg.Authoritative = true
			msg.Answer = r.shortAnswer(zone, t.Change)
			return 0
		}
	}
	if t.Change == nil {
		var err error
		if t.Content, err = r.wholeZone(zone); err != nil {
			msg.Rcode = dns.RcodeServerFailure
			r.reportRefused(msg.Rcode, err.Error())
			return 0
		}
	}
	r.transfer = t
	return 0
}

// changeFor returns the difference from the serial of the client to the one that is served; nil: there is none in the journal, or
// the client has this serial or a later one.
func (r *Responder) changeFor(zone zones.ZoneID) (change *journal.Change, current bool) {
	s := r.at.active
	serial := s.zones.Serial(zone)
	has, ok := r.query.serial()
	switch {
	case !ok:
		return nil, false
	case int32(has-serial) >= 0: // RFC 1982
		return nil, true
	}
	if s.snapshot.Config.Zones[zone].Transfer.Sign {
		return r.signedChange(zone, has), false
	}
	if of := r.engine.journals.Of(s.snapshot.Config.Zones[zone].Name); of != nil {
		change = of.Since(has, serial)
	}
	return change, false
}

// signedChange is changeFor for a zone that is transferred with signatures. It signs the zone if that was not done yet, but not for a
// message by UDP.
func (r *Responder) signedChange(zone zones.ZoneID, has uint32) *journal.Change {
	if r.Transfers {
		if _, err := r.wholeZone(zone); err != nil {
			return nil // the whole zone has the same error, which is logged
		}
	}
	return r.engine.journals.SignedZones().Since(r.at.active.snapshot.Config.Zones[zone].Name, has)
}

// wholeZone returns what a transfer of a whole zone has.
func (r *Responder) wholeZone(zone zones.ZoneID) (*transfer.Content, error) {
	s := r.at.active
	content, err := s.defaults.Content(s.snapshot.Config, zone)
	if z := &s.snapshot.Config.Zones[zone]; err == nil && z.Transfer.Sign {
		content, err = r.engine.journals.SignedZones().Content(z, s.signedZone(zone), content)
	}
	return content, err
}

// shortAnswer returns the records of a difference if they fit in a UDP message, or else the SOA.
func (r *Responder) shortAnswer(zone zones.ZoneID, change *journal.Change) (rrs []dns.RR) {
	s := r.at.active
	apex := s.zones.ApexNode(zone)
	soa, _ := s.zones.RRset(apex, dns.TypeSOA)
	alone := soa.RRs(s.zones.NodeName(apex).String())
	if change == nil {
		return alone
	}
	room := r.withoutTSIG(s.limit(&r.query, false)) - r.query.end - r.query.optSize()
	for record := range transfer.Sequence(change) {
		rr, _, err := dns.UnpackRR([]byte(record), 0)
		if room -= len(record); room < 0 || err != nil {
			return alone
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// transferRefusal returns why the client may not have a zone; empty: it may.
func (r *Responder) transferRefusal(zone zones.ZoneID, source netip.Addr) string {
	z := &r.at.active.snapshot.Config.Zones[zone]
	peer := transfer.Peer{Source: source, TLS: r.TLS}
	if r.tsig != nil {
		peer.Key = r.tsig.Key()
	}
	if why := transfer.Refusal(z.Transfer.Out, peer, r.at.active.snapshot.Trust); why != "" {
		return why
	}
	if z.Transfer.Pools == config.RefusePools && len(z.Names) > 0 {
		return "the zone has transfer.pools: refuse, and balanced names"
	}
	return ""
}

// serial returns that of the SOA in the query, which is the client's (RFC 1995 3).
func (q *query) serial() (serial uint32, ok bool) {
	var msg dns.Msg
	if msg.Unpack(q.packet) != nil || len(msg.Ns) == 0 {
		return 0, false
	}
	soa, ok := msg.Ns[0].(*dns.SOA)
	if !ok {
		return 0, false
	}
	return soa.Serial, true
}
