package zones

import (
	"github.com/miekg/dns"
)

// checkSigned warns of what resolvers refuse in a presigned zone: record sets without a signature, and names that its
// chain of NSEC or NSEC3 records does not have. hashes is nil if the zone has no NSEC3 records.
func (c *compiler) checkSigned(z ZoneID, hashes *Hashes) {
	apex := c.s.zones[z].apex
	chained := hashes != nil || c.has(apex, dns.TypeNSEC)
	if _, at, ok := c.setOf(apex, dns.TypeSOA); ok && !chained && !c.has(apex, dns.TypeNSEC3PARAM) {
		c.warnf(at, "sign the zone with one", "zone %s has signatures, and no NSEC or NSEC3 record at its apex: resolvers refuse negative answers", c.quoted(apex))
	}
	for i := 1; i < len(c.s.nodes); i++ {
		id := NodeID(i)
		if n := &c.s.nodes[i]; n.zone != z || n.cover != 0 && n.cover != id {
			continue // glue, and what a cut hides
		}
		c.checkSignatures(id)
		if chained && !c.inDenial(id, hashes) {
			c.warnf(c.firstAt(id), "sign the zone again", "%s is not in the chain of %s records of zone %s: resolvers may use a denial of it", c.quoted(id), denialType(hashes), c.quoted(apex))
		}
	}
}

func denialType(hashes *Hashes) string {
	if hashes != nil {
		return "NSEC3"
	}
	return "NSEC"
}

// checkSignatures warns of each record set of a node without a signature. NS and glue at a delegation have none (RFC
// 4035 2.2).
func (c *compiler) checkSignatures(id NodeID) {
	delegated := c.s.nodes[id].flags.has(isCut) || c.s.nodes[id].flags.has(isAbove)
	for typ, at := range c.types(id) {
		if typ == dns.TypeRRSIG || delegated && typ != dns.TypeDS && typ != dns.TypeNSEC {
			continue
		}
		signed := false
		for range c.s.Signatures(id, typ) {
			signed = true
			break
		}
		if !signed {
			c.warnf(at, "sign the zone again", "%s of %s has no RRSIG record, and the zone is signed: resolvers refuse it", typeName(typ), c.quoted(id))
		}
	}
}

// inDenial reports whether a node is in the chain of its zone as far as it has to be: all names with records, and with
// NSEC3 those above them, except what opt-out leaves out (RFC 5155 7.1).
func (c *compiler) inDenial(id NodeID, hashes *Hashes) bool {
	n, name := &c.s.nodes[id], c.s.NodeName(id)
	switch {
	case n.flags.has(isHashed):
		return true
	case hashes == nil:
		return n.sets == 0 || c.has(id, dns.TypeNSEC)
	case hashes.Match(name) != 0:
		return true
	}
	insecure := n.sets == 0 || (n.flags.has(isCut) || n.flags.has(isAbove)) && !c.has(id, dns.TypeDS)
	return insecure && c.optOut(hashes.Cover(name))
}

// checkDelegates warns of zones of ours below a presigned zone with NSEC records that has none at their apexes: it was
// signed without a delegation to them.
func (c *compiler) checkDelegates(z ZoneID) {
	if !c.has(c.s.zones[z].apex, dns.TypeNSEC) {
		return
	}
	for i := range c.s.zones {
		if inner := &c.s.zones[i]; inner.above != 0 && c.s.nodes[inner.above].zone == z && !c.has(inner.above, dns.TypeNSEC) {
			c.warnf(c.presignedAt[z], "add its NS records to the file and sign the zone again",
				"zone %s has signatures, and does not delegate to zone %s below it: resolvers refuse its answers", c.quoted(c.s.zones[z].apex), c.quoted(inner.apex))
		}
	}
}

// optOut reports whether an NSEC3 record of a node has the flag opt-out.
func (c *compiler) optOut(id NodeID) bool {
	set, _ := c.s.RRset(id, dns.TypeNSEC3)
	for rdata := range set.rdata {
		if rdata[1]&1 != 0 {
			return true
		}
	}
	return false
}

// firstAt returns the position of the first records of a node; without any, that of the zone's signatures.
func (c *compiler) firstAt(id NodeID) place {
	for _, at := range c.types(id) {
		return at
	}
	return c.presignedAt[c.s.nodes[id].zone]
}
