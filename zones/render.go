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
		if c.s.zones[i].missing != 0 {
			continue
		}
		c.setSerial(ZoneID(i))
	}
	known := make(map[NodeID]GlueID)
	for i := range c.s.nodes {
		if n := &c.s.nodes[i]; n.flags.has(isCut) {
			n.extra = uint32(len(c.s.cuts))
			c.s.cuts = append(c.s.cuts, c.s.renderCut(NodeID(i), known))
			if !c.s.roomForGlue() {
				_, at, _ := c.setOf(NodeID(i), dns.TypeNS)
				c.errorf(at, "serve fewer or smaller zones", "all zones together hold more than 4 GiB")
				return
			}
		}
	}
}

// renderCut collects the nameservers of a delegation with static addresses in our zones. It renders their records once,
// because thousands of delegations may share them.
func (s *Data) renderCut(id NodeID, known map[NodeID]GlueID) cut {
	found := cut{first: uint32(len(s.cutGlue))}
	set, _ := s.RRset(id, dns.TypeNS)
	for rdata := range set.rdata {
		ns := s.find(dnsname.Wire(rdata).Folded())
		glue, ok := known[ns]
		if !ok {
			glue = s.renderGlue(ns)
			known[ns] = glue
		}
		if s.glue[glue].count > 0 {
			s.cutGlue = append(s.cutGlue, glue)
			found.count++
		}
	}
	return found
}

// renderGlue renders the address records of a nameserver; none for node 0.
func (s *Data) renderGlue(ns NodeID) GlueID {
	var g glue
	var records []byte
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if set, ok := s.RRset(ns, typ); ok && s.roomForGlue() {
			records = set.append(records, s.NodeName(ns))
			g.count += uint32(set.Count)
		}
	}
	g.off, g.length = s.addData(records), uint32(len(records))
	s.glue = append(s.glue, g)
	return GlueID(len(s.glue) - 1)
}

// roomForGlue reports whether there is room for the glue of one more set.
func (s *Data) roomForGlue() bool { return s.dataSize() <= math.MaxUint32-maxGlue }

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
