package answer

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// OnNotify sets the function that is called with the name of a zone when one of its primaries notifies of a change. It must
// not block.
func (e *Engine) OnNotify(f func(dnsname.Name)) { e.notified.Store(&f) }

// answerNotify answers a notification (RFC 1996), and returns the extended error:
//
//	the name is not that of a zone, or the class is not IN  NOTAUTH
//	not from a primary of the zone, or without its key      REFUSED
//	any other                                               NOERROR: the zone is checked soon
func (r *Responder) answerNotify(msg *dns.Msg, source netip.Addr) (ede uint16) {
	q, s := &r.query, r.at.active
	zone, ok := s.zones.ApexOf(q.name)
	if !ok || q.class != dns.ClassINET {
		msg.Rcode = dns.RcodeNotAuth
		return dns.ExtendedErrorCodeNotAuthoritative
	}
	z := &s.snapshot.Config.Zones[zone]
	if !r.isPrimary(z.Primaries, source) {
		msg.Rcode = dns.RcodeRefused
		r.counts.add(uint32(NotifiesRefused))
		return dns.ExtendedErrorCodeProhibited
	}
	msg.Authoritative = true
	r.counts.add(uint32(NotifiesAccepted))
	if f := r.engine.notified.Load(); f != nil && !r.silent {
		(*f)(z.Name)
	}
	return 0
}

// isPrimary reports whether a message comes from one of the primaries, signed with its key if it has one.
func (r *Responder) isPrimary(primaries []config.Primary, source netip.Addr) bool {
	return slices.ContainsFunc(primaries, func(p config.Primary) bool {
		return p.Address.Addr() == source && (p.Key == "" || r.signedBy(p.Key))
	})
}

// signedBy reports whether the message is signed with a key.
func (r *Responder) signedBy(key dnsname.Name) bool {
	return r.tsig != nil && r.tsig.Key() != nil && bytes.Equal(r.tsig.Key().Name(), key.Wire())
}
