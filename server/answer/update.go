package answer

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/transfer/tsig"
	"meridian/zones"
)

// Update is a dynamic update (RFC 2136) with a valid signature. Its response comes when it is on disk.
type Update struct {
	Zone   dnsname.Name
	Packet []byte
	Key    dnsname.Name
	Ruled  bool // a rule of the zone has the key; false: the update is to be refused
	Source netip.Addr

	end  int
	edns bool
	size uint16 // of the largest message over UDP, for the OPT record
	tsig *tsig.Response
	e    *Engine
}

// UpdateOutcome is the result of an update.
type UpdateOutcome struct {
	Rcode  int
	EDE    uint16
	Reason string // of the extended error
}

// TakeUpdate returns the update that the last message asks for, in place of an answer; nil: it asks for none.
func (r *Responder) TakeUpdate() *Update {
	u := r.update
	r.update = nil
	return u
}

// answerUpdate takes an update, or refuses it (RFC 2136 3.1):
//
//	no zone has update                    NOTIMP
//	not exactly one zone, of type SOA     FORMERR
//	the name is not that of a zone        NOTAUTH
//	no signature                          REFUSED
//	by HTTPS or QUIC                      REFUSED
//	any other                             the update
func (r *Responder) answerUpdate(msg *dns.Msg, sound bool, source netip.Addr) (ede uint16) {
	q, s := &r.query, r.at.active
	zone, ok := zones.ZoneID(0), false
	switch {
	case !s.updates || r.engine.updates == nil:
		msg.Rcode = dns.RcodeNotImplemented
		return dns.ExtendedErrorCodeNotSupported
	case !sound || q.qtype != dns.TypeSOA:
		msg.Rcode = dns.RcodeFormatError
		return 0
	}
	if zone, ok = s.zones.ApexOf(q.name); !ok || q.class != dns.ClassINET {
		msg.Rcode = dns.RcodeNotAuth
		return dns.ExtendedErrorCodeNotAuthoritative
	}
	key, ruled := r.updateKey(zone)
	if over := r.facts.transport; key == "" || over != UDP && !r.Transfers || over == DoQ {
		msg.Rcode = dns.RcodeRefused
		r.counts.add(uint32(UpdatesRefused))
		return dns.ExtendedErrorCodeProhibited
	}
	r.update = &Update{
		Zone: s.snapshot.Config.Zones[zone].Name, Packet: append([]byte(nil), q.packet...), Key: key, Ruled: ruled, Source: source,
		end: q.end, edns: q.edns.present, size: s.udpSize, tsig: r.tsig, e: r.engine,
	}
	return 0
}

// updateKey returns the key of a signed update, empty if it is not signed, and whether any rule of the zone has it.
func (r *Responder) updateKey(zone zones.ZoneID) (key dnsname.Name, ruled bool) {
	if r.tsig == nil || r.tsig.Key() == nil {
		return "", false
	}
	rules := r.at.active.snapshot.Config.Zones[zone].Update
	for i := range rules {
		if r.signedBy(rules[i].Key) {
			return rules[i].Key, true
		}
	}
	return dnsname.Name(r.tsig.Key().Name().String()), false
}

// Response appends the response to the update.
func (u *Update) Response(out []byte, o UpdateOutcome) []byte {
	base := len(out)
	out = append(out, u.Packet[:u.end]...)
	h := out[base:]
	h[2], h[3] = flagQR|h[2]&(opcodeMask|flagRD), byte(o.Rcode)
	clear(h[4:HeaderSize])
	h[5] = 1
	if u.edns {
		h[11] = 1
		out = append(out, 0, 0, byte(dns.TypeOPT), byte(u.size>>8), byte(u.size), 0, 0, 0, 0)
		option := []byte{}
		if o.EDE != 0 {
			text := o.Reason[:min(len(o.Reason), 200)]
			option = binary.BigEndian.AppendUint16([]byte{0, optionEDE}, uint16(2+len(text)))
			option = append(binary.BigEndian.AppendUint16(option, o.EDE), text...)
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(option))), option...)
	}
	return u.tsig.Append(out, base, u.e.clock())
}

// Apply makes the update, and returns when it is on disk.
func (u *Update) Apply() UpdateOutcome {
	o := u.e.updates(u)
	if o.Rcode == dns.RcodeSuccess {
		u.e.Count(UpdatesMade, 1)
	} else {
		u.e.Count(UpdatesRefused, 1)
	}
	return o
}

// UseUpdates sets what makes updates, before the first query.
func (e *Engine) UseUpdates(apply func(*Update) UpdateOutcome) { e.updates = apply }
