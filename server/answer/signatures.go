package answer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/zones"
)

// maxSignedAddresses is the largest number of addresses in a signed answer. So many fit in a message over a stream,
// whatever else is in it: what is signed is what is sent.
const maxSignedAddresses = 1024

// signatures makes the signatures of answers, one answer at a time. It holds the memory for that, so that an answer
// with cached signatures allocates nothing.
type signatures struct {
	signer  *dnssec.Signer
	request dnssec.Request
	err     error // the first of the answer

	set   dnssec.Set
	data  []byte       // of sets that are not in a zone
	next  []byte       // of NSEC records
	types []uint16     // of NSEC records
	addrs []netip.Addr // in canonical order

	proofs proofs
}

// begin prepares for another answer.
func (g *signatures) begin() { g.err, g.proofs.n = nil, 0 }

// countSignatures counts the signatures of a batch.
func (r *Responder) countSignatures() {
	q := &r.signatures.request
	r.counts.addN(uint32(signatureHits), uint32(q.Hits))
	r.counts.addN(uint32(signatureMisses), uint32(q.Misses))
	r.counts.addN(uint32(signaturesMade), uint32(q.Made))
	q.Hits, q.Misses, q.Made = 0, 0, 0
}

// append appends the signature records of g.set to dst. After an error it appends nothing.
func (g *signatures) append(dst []byte, zone *dnssec.Zone, owner []byte, ttl uint32) []byte {
	if g.err != nil {
		return dst
	}
	dst, g.err = g.signer.AppendRRSIGs(dst, zone, &g.set, owner, ttl, &g.request)
	return dst
}

// addressData returns the data of an address set in canonical order, whatever the order in which a pool has drawn
// the addresses: all of its orders have one signature. It is valid until the next call.
func (g *signatures) addressData(addrs []netip.Addr) []byte {
	g.addrs = append(g.addrs[:0], addrs...)
	slices.SortFunc(g.addrs, netip.Addr.Compare)
	g.data = g.data[:0]
	for _, addr := range g.addrs {
		if addr.Is4() {
			v4 := addr.As4()
			g.data = append(append(g.data, 0, 4), v4[:]...)
			continue
		}
		v6 := addr.As16()
		g.data = append(append(g.data, 0, 16), v6[:]...)
	}
	return g.data
}

// nameData returns the data of a set with one record that holds a name.
func (g *signatures) nameData(name []byte) []byte {
	g.data = binary.BigEndian.AppendUint16(g.data[:0], uint16(len(name)))
	g.data = append(g.data, name...)
	return g.data
}

// signedZone returns the zone that signs, or nil if it is not signed.
func (s *activeSnapshot) signedZone(id zones.ZoneID) *dnssec.Zone {
	if s.signed == nil {
		return nil
	}
	return s.signed[id]
}

// keySet returns the DNSKEY, CDS or CDNSKEY set of a signed zone, if match is its apex.
func (s *activeSnapshot) keySet(match zones.Match, qtype uint16) (zones.RRset, bool) {
	zone := s.signedZone(match.Zone)
	if zone == nil || !s.zones.IsApex(match.Node) {
		return zones.RRset{}, false
	}
	set, ok := zone.ApexSet(qtype)
	return zones.RRset{Type: set.Type, TTL: set.TTL, Count: countRecords(set.Data), Data: set.Data}, ok
}

// countRecords counts the records of a set.
func countRecords(data []byte) (n int) {
	for ; len(data) > 0; n++ {
		data = data[2+int(binary.BigEndian.Uint16(data)):]
	}
	return n
}

// signee is the owner of a set to be signed.
type signee struct {
	zone zones.ZoneID
	node zones.NodeID // that has the signatures in a presigned zone
	name []byte       // in lower case
}

// sign adds the signatures of a set that was just added to a section, if the zone is signed and the client asks for
// signatures. The owner is at offset at of the message, or 0 for the root.
func (r *Responder) sign(a *reply, to section, of signee, at int, set zones.RRset, original uint32) {
	s := r.at.active
	if !a.signs || s.denials[of.zone] == noDenial || a.spills {
		return
	}
	owner := of.name
	g := &r.signatures
	pointed := [2]byte{pointer | byte(at>>8), byte(at)}
	spelled := pointed[:]
	switch {
	case at == 0:
		spelled = pointed[1:] // the root
	case at > maxPointer:
		spelled = owner
	}
	if a.wildcard != 0 && to == answerSection {
		owner = s.zones.NodeName(a.wildcard)
		g.proveExpansion(s, of.zone, a.name, a.wildcard)
	}
	zone := s.signedZone(of.zone)
	if zone == nil {
		a.presigned(to, s.zones, of.node, spelled, set)
		return
	}
	count, size := zone.SignatureSize(set.Type)
	if !a.fits(size + count*len(spelled)) {
		return
	}
	g.set = dnssec.Set{Owner: owner, Type: set.Type, TTL: original, Data: set.Data}
	a.out = g.append(a.out, zone, spelled, set.TTL)
	a.count[to] += uint16(count)
}

// presigned adds the signatures of a set that the file of its zone has.
func (a *reply) presigned(to section, data *zones.Data, node zones.NodeID, owner []byte, set zones.RRset) {
	signatures, _ := data.RRset(node, dns.TypeRRSIG)
	for rest := signatures.Data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if record := rest[:end]; binary.BigEndian.Uint16(record[2:]) == set.Type && a.fits(len(owner)+recordFixed-2+end) {
			a.out = append(a.out, owner...)
			a.fixed(dns.TypeRRSIG, set.TTL)
			a.out = append(a.out, record...)
			a.count[to]++
		}
		rest = rest[end:]
	}
}

// fastSigned answers the types that only a signed zone has, which are not in the zone's data: those of its keys, and
// NSEC. A question for RRSIG is refused: signatures are not an RRset (RFC 8482 7).
func (r *Responder) fastSigned(a *reply, match zones.Match) bool {
	s, qtype := r.at.active, r.query.qtype
	zone := s.signedZone(match.Zone)
	if zone == nil {
		return false
	}
	if qtype == dns.TypeRRSIG {
		a.rcode, a.extra.ede = dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported
		return true
	}
	set, ok := s.keySet(match, qtype)
	if !ok && qtype == dns.TypeNSEC {
		set, ok = r.signatures.askedNSEC(s, zone, match, a.name)
	}
	if ok {
		a.flags |= flagAA
		a.rrset(answerSection, set, a.owner)
		r.sign(a, answerSection, signee{match.Zone, match.Node, a.name}, a.owner, set, set.TTL)
	}
	return ok
}

// sign is Responder.sign on the slow path: records are those that were just added to a section, with this owner.
func (q *question) sign(to *[]dns.RR, owner dnsname.Wire, node zones.NodeID, set zones.RRset, original uint32) {
	zone, signed := q.serving.signedZone(q.match.Zone), owner.Folded()
	expands := q.serving.expands(q.match) && to == &q.msg.Answer
	if expands {
		signed = q.serving.zones.NodeName(q.match.Node)
	}
	q.noteSignature(owner, signed, node, set, original)
	if q.signatures == nil || q.serving.denials[q.match.Zone] == noDenial {
		return
	}
	if expands {
		q.signatures.proveExpansion(q.serving, q.match.Zone, owner.Folded(), q.match.Node)
	}
	if zone == nil {
		*to = append(*to, q.presigned(owner, node, set)...)
		return
	}
	q.signatures.set = dnssec.Set{Owner: signed, Type: set.Type, TTL: original, Data: bytes.Clone(set.Data)}
	octets := q.signatures.append(nil, zone, owner, set.TTL)
	for at := 0; at < len(octets); {
		rr, next, err := dns.UnpackRR(octets, at)
		if err != nil {
			panic("server: a signature that does not unpack: " + err.Error())
		}
		*to = append(*to, rr)
		at = next
	}
}

// presigned returns the signatures of a set that the file of its zone has.
func (q *question) presigned(owner dnsname.Wire, node zones.NodeID, set zones.RRset) (all []dns.RR) {
	signatures, _ := q.serving.zones.RRset(node, dns.TypeRRSIG)
	signatures.TTL = set.TTL
	for _, rr := range signatures.RRs(owner.String()) {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == set.Type {
			all = append(all, sig)
		}
	}
	return all
}

// signed is Responder.fastSigned on the slow path.
func (q *question) signed(owner dnsname.Wire) bool {
	zone := q.serving.signedZone(q.match.Zone)
	if zone == nil {
		return false
	}
	if q.qtype == dns.TypeRRSIG {
		q.msg.Rcode, q.extra.ede = dns.RcodeRefused, dns.ExtendedErrorCodeNotSupported
		return true
	}
	if set, ok := q.serving.keySet(q.match, q.qtype); ok {
		q.answer(owner, set)
		return true
	}
	if q.qtype != dns.TypeNSEC {
		return false
	}
	g := q.signatures
	if g == nil {
		g = new(signatures)
	}
	set, ok := g.askedNSEC(q.serving, zone, q.match, owner.Folded())
	if ok {
		q.answer(owner, set)
	}
	return ok
}

// postpone ends an answer that has no signature: it is made later, or the client is sent to TCP, or over a stream the
// answer is SERVFAIL.
func (r *Responder) postpone(out []byte, stream bool) []byte {
	q, s := &r.query, r.at.active
	if errors.Is(r.signatures.err, dnssec.ErrMissing) && r.Postpone(q.packet, r.drawn) {
		r.facts.waits = true
		return out
	}
	var a reply
	base := len(out)
	a.begin(s, out, q, stream)
	if a.spills = !stream; stream {
		a.rcode, a.extra.ede = dns.RcodeServerFailure, dns.ExtendedErrorCodeNotReady
	}
	out = a.finish(s, q)
	r.counts.add(uint32(unsigned))
	r.count(int(a.rcode), a.flags&flagTC != 0)
	return r.appendTSIG(out, base)
}
