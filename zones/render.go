package zones

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// render makes what answers carry beside the sets themselves. The zones are sound.
func (c *compiler) render() {
	for i := range c.s.zones {
		z := &c.s.zones[i]
		z.negative, _, _ = c.setOf(z.apex, dns.TypeSOA)
		// The minimum is the last field of the SOA, and there is one SOA (RFC 2308 3).
		minimum := binary.BigEndian.Uint32(c.s.data[z.negative.off+z.negative.length-4:])
		z.negative.ttl = min(z.negative.ttl, minimum)
	}
	for i := range c.s.nodes {
		if n := &c.s.nodes[i]; n.flags.has(isCut) {
			n.extra = uint32(len(c.s.cuts))
			c.s.cuts = append(c.s.cuts, c.renderGlue(NodeID(i)))
		}
	}
}

// renderGlue renders the static addresses that we hold of a cut's nameservers (RFC 9471).
func (c *compiler) renderGlue(cut NodeID) glue {
	g := glue{off: uint32(len(c.s.data))}
	set, _, _ := c.setOf(cut, dns.TypeNS)
	for target := range c.targets(set) {
		id := c.s.find(target)
		for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
			addresses, ok := c.s.RRset(id, typ)
			if !ok {
				continue
			}
			c.s.data = addresses.append(c.s.data, target)
			g.count += uint32(addresses.Count)
		}
	}
	g.length = uint32(len(c.s.data)) - g.off
	return g
}

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
