package zones

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/errtext"
)

const (
	maxTTL    = 1<<31 - 1   // RFC 2181 8
	maxPacked = 1<<16 + 512 // a record on the wire: owner, header, 65535 octets of data
)

// record is a static record that is not in a set yet.
type record struct {
	node   NodeID
	typ    uint16
	length uint16 // of the RDATA
	data   uint32 // offset in compiler.rdata
	ttl    uint32
	at     place
}

// add checks one record and adds it.
func (c *compiler) add(z ZoneID, rr dns.RR, at place) {
	w := newWritten(rr)
	c.addWritten(z, &w, at)
}

// addWritten checks one record and adds it. It changes w only by encoding it.
func (c *compiler) addWritten(z ZoneID, w *written, at place) {
	h, ttl := &w.header, w.header.Ttl
	if ttl > maxTTL {
		c.warnf(at, "", "TTL %d of %s of %q is more than %d and counts as 0 (RFC 2181 8)", ttl, typeName(h.Rrtype), h.Name, maxTTL)
		ttl = 0
	}
	owner, err := ownerName(h.Name)
	if err != nil {
		c.errorf(at, "", "owner %s", err)
		return
	}
	if !c.validate(z, h, owner, at) {
		return
	}
	if madeBySigner(h.Rrtype) && c.cfg.DNSSECPolicy(&c.cfg.Zones[z]) != nil {
		c.warnf(at, "leave it out, or write dnssec: none in the zone", "%s of %q is ignored: Meridian signs the zone and makes it", typeName(h.Rrtype), h.Name)
		return
	}
	w.encode(c)
	if w.err != nil {
		c.errorf(at, "", "%s of %q cannot be encoded: %s", typeName(h.Rrtype), h.Name, w.err)
		return
	}
	id := c.owner(z, w, owner, at)
	if id == 0 {
		return
	}
	c.mark(id, h.Rrtype)
	c.records = append(c.records, record{
		node: id, typ: h.Rrtype, length: uint16(len(w.rdata)), data: uint32(len(c.rdata)), ttl: ttl, at: at,
	})
	c.rdata = append(c.rdata, w.rdata...)
}

// owner returns the node of an encoded record, or 0 if the record is not served.
func (c *compiler) owner(z ZoneID, w *written, owner dnsname.Wire, at place) NodeID {
	typ := w.header.Rrtype
	covered := typ
	if typ == dns.TypeRRSIG {
		covered = binary.BigEndian.Uint16(w.rdata)
		if c.mayBePresigned(z) {
			c.noteSignature(z, w.rdata, at)
		}
	}
	if covered == dns.TypeNSEC3 {
		return c.hashedNode(owner, z, at)
	}
	id, ours := c.node(owner, z)
	switch {
	case !ours:
		return c.parentSide(id, owner, z, covered, at)
	case typ == dns.TypeDS && c.s.nodes[id].flags.has(isApex):
		c.warnf(at, "put it in the zone above", "DS of %q is never answered: it belongs to the zone above", w.header.Name)
		return 0
	}
	return id
}

// validate checks a record on its own.
func (c *compiler) validate(z ZoneID, h *dns.RR_Header, owner dnsname.Wire, at place) bool {
	switch {
	case h.Class != dns.ClassINET:
		c.errorf(at, "only class IN is served", "%s of %q has class %s", typeName(h.Rrtype), h.Name, dns.Class(h.Class))
	case meta(h.Rrtype):
		c.errorf(at, "a zone holds types of data", "%q has %s, a type of questions and messages", h.Name, typeName(h.Rrtype))
	case !c.within(owner, z):
		c.warnf(at, "", "%s of %q is ignored: the name is not within zone %q", typeName(h.Rrtype), h.Name, c.cfg.Zones[z].Name)
	case c.full():
		c.errorf(at, "serve fewer or smaller zones", "all zones together hold more than 4 GiB")
	default:
		return true
	}
	return false
}

// mark records at a node the effect of a type on the names below it.
func (c *compiler) mark(id NodeID, typ uint16) {
	n := &c.s.nodes[id]
	switch {
	case typ == dns.TypeNS && !n.flags.has(isApex):
		n.flags |= isCut
	case typ == dns.TypeDNAME:
		n.flags |= isDName
	}
}

// parentSide returns the node for a record of zone z with a name at or below the apex of another zone of ours. A DS
// or NSEC for that apex, and its signature, belongs to z's side (RFC 4035 3.1.4.1); all other records are dropped. NS
// and addresses are dropped without a warning, because a delegation to that zone normally has them.
func (c *compiler) parentSide(id NodeID, owner dnsname.Wire, z ZoneID, typ uint16, at place) NodeID {
	inner := c.s.nodes[id].zone
	above := c.s.zones[inner].above
	switch typ {
	case dns.TypeDS, dns.TypeNSEC:
		if above != 0 && c.s.nodes[above].zone == z && bytes.Equal(c.s.NodeName(above), owner) {
			return above
		}
	case dns.TypeNS, dns.TypeA, dns.TypeAAAA:
		return 0
	}
	c.warnf(at, "put it there", "%s of %q is never answered: zone %q is served too",
		typeName(typ), owner, c.cfg.Zones[inner].Name)
	return 0
}

// pack returns the RDATA of rr on the wire, uncompressed. It is valid until the next call, and always unpacks again.
func (c *compiler) pack(rr dns.RR) ([]byte, error) {
	end, err := dns.PackRR(rr, c.buf, 0, nil, false)
	if err != nil {
		return nil, plainError(err)
	}
	h := *rr.Header()
	rdata := c.buf[end-int(h.Rdlength) : end]
	if len(rdata) == 0 && !mayBeEmpty(h.Rrtype) {
		return nil, errors.New("it has no data")
	}
	if _, _, err := dns.UnpackRRWithHeader(h, rdata, 0); err != nil {
		return nil, plainError(err)
	}
	return rdata, nil
}

// ownerName converts the owner name of a record to lower case in wire form.
func ownerName(name string) (dnsname.Wire, error) {
	if name == "" {
		return nil, errors.New("is missing; begin the record with a name")
	}
	wire, err := dnsname.ParseWire(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a domain name: %w", errtext.Clip(name), err)
	}
	wire.Fold()
	return wire, nil
}

// meta reports whether typ is only for questions and messages, never for data (RFC 6895 3.1).
func meta(typ uint16) bool {
	return typ == dns.TypeNone || typ == dns.TypeOPT || 128 <= typ && typ <= 255 || typ == dns.TypeReserved
}

// madeBySigner reports whether records of typ are made from the keys of a signed zone, or by signing.
func madeBySigner(typ uint16) bool {
	switch typ {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return true
	}
	return false
}

// mayBeEmpty reports whether a record of typ may have no data at all.
func mayBeEmpty(typ uint16) bool {
	_, known := dns.TypeToRR[typ]
	return !known || typ == dns.TypeAPL || typ == dns.TypeNULL
}

func typeName(typ uint16) string { return dns.Type(typ).String() }
