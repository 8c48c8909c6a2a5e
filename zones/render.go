package zones

import (
	"encoding/binary"
	"math"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// render prepares the parts of answers other than the sets themselves. The zones are valid.
func (c *compiler) render() {
	for i := range c.s.zones {
		c.setSerial(ZoneID(i))
		z := &c.s.zones[i]
		z.negative, _, _ = c.setOf(z.apex, dns.TypeSOA)
		// The minimum is the last field of the SOA, and there is one SOA (RFC 2308 3).
		minimum := binary.BigEndian.Uint32(c.s.data[z.negative.off+z.negative.length-4:])
		z.negative.ttl = min(z.negative.ttl, minimum)
	}
	known := make(map[NodeID]GlueID)
	for i := range c.s.nodes {
		if n := &c.s.nodes[i]; n.flags.has(isCut) {
			n.extra = uint32(len(c.s.cuts))
			c.s.cuts = append(c.s.cuts, c.cut(NodeID(i), known))
		}
	}
}

// cut collects the nameservers of a delegation with static addresses in our zones. It renders their records once,
// because thousands of delegations may share them.
func (c *compiler) cut(id NodeID, known map[NodeID]GlueID) cut {
	found := cut{first: uint32(len(c.s.cutGlue))}
	set, at, _ := c.setOf(id, dns.TypeNS)
	for target := range c.targets(set) {
		ns := c.s.find(target)
		glue, ok := known[ns]
		if !ok {
			glue = c.renderGlue(ns, at)
			known[ns] = glue
		}
		if c.s.glue[glue].count > 0 {
			c.s.cutGlue = append(c.s.cutGlue, glue)
			found.count++
		}
	}
	return found
}

// renderGlue renders the address records of a nameserver; none for node 0.
func (c *compiler) renderGlue(ns NodeID, at place) GlueID {
	g := glue{off: uint32(len(c.s.data))}
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		set, ok := c.s.RRset(ns, typ)
		if !ok {
			continue
		}
		if len(c.s.data) > math.MaxUint32-maxGlue {
			c.errorf(at, "serve fewer or smaller zones", "all zones together hold more than 4 GiB")
			break
		}
		c.s.data = set.append(c.s.data, c.s.NodeName(ns))
		g.count += uint32(set.Count)
	}
	g.length = uint32(len(c.s.data)) - g.off
	c.s.glue = append(c.s.glue, g)
	return GlueID(len(c.s.glue) - 1)
}

// maxGlue is more than the glue of one set can take: the owner's name and ten octets
// for each of its records, of which the smallest has four.
const maxGlue = maxSet * (dnsname.MaxSize + 10) / 4

// append appends whole records to buf.
func (set RRset) append(buf, owner []byte) []byte {
	for rdata := range set.rdata {
		buf = append(buf, owner...)
		buf = binary.BigEndian.AppendUint16(buf, set.Type)
		buf = binary.BigEndian.AppendUint16(buf, dns.ClassINET)
		buf = binary.BigEndian.AppendUint32(buf, set.TTL)
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(rdata)))
		buf = append(buf, rdata...)
	}
	return buf
}
