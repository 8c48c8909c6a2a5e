package answer

import (
	"bytes"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/zones"
)

// ExplainedSignature is the signature that a set of the answer has for a client that asks for signatures.
type ExplainedSignature struct {
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Keys      []uint16  `json:"keys"` // tags; one signature of each
	Inception time.Time `json:"inception"`
	Expires   time.Time `json:"expires"`          // so does the signature that another node makes now
	Cached    *bool     `json:"cached,omitempty"` // absent: no running server
}

// noteSignature records the signature of a set that was just added to the answer. signed is the name in lower case that
// the signature covers: the owner, or a wildcard.
func (q *question) noteSignature(owner, signed dnsname.Wire, node zones.NodeID, set zones.RRset, original uint32) {
	zone := q.serving.signedZone(q.match.Zone)
	switch {
	case !q.explain:
		return
	case zone == nil:
		q.notePresigned(owner, node, set)
		return
	}
	period := zone.Period(signed, set.Type, time.Unix(q.now, 0))
	s := ExplainedSignature{owner.String(), dns.Type(set.Type).String(), zone.KeyTags(set.Type), period.Inception, period.Expiration, nil}
	if q.signer != nil {
		cached := q.signer.Cached(zone, &dnssec.Set{Owner: signed, Type: set.Type, TTL: original, Data: bytes.Clone(set.Data)}, q.now)
		s.Cached = &cached
	}
	q.noted = append(q.noted, s)
}

// notePresigned records the signatures that the file of a zone has for a set that was just added to the answer.
func (q *question) notePresigned(owner dnsname.Wire, node zones.NodeID, set zones.RRset) {
	if q.serving.zones.Presigned(q.match.Zone) == nil {
		return
	}
	for _, rr := range q.presigned(owner, node, set) {
		sig := rr.(*dns.RRSIG)
		begins, expires := time.Unix(int64(sig.Inception), 0).UTC(), time.Unix(int64(sig.Expiration), 0).UTC()
		q.noted = append(q.noted, ExplainedSignature{owner.String(), dns.Type(set.Type).String(), []uint16{sig.KeyTag}, begins, expires, nil})
	}
}
