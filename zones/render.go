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
			c.s.cuts = append(c.s.cuts, c.cut(NodeID(i)))
		}
	}
}

// cut collects the nameservers of a delegation of which we hold static addresses.
// The addresses themselves are not copied: thousands of delegations may share them.
func (c *compiler) cut(id NodeID) cut {
	found := cut{first: uint32(len(c.s.glue))}
	set, _, _ := c.setOf(id, dns.TypeNS)
	for target := range c.targets(set) {
		ns := c.s.find(target)
		_, a := c.s.RRset(ns, dns.TypeA)
		_, aaaa := c.s.RRset(ns, dns.TypeAAAA)
		if a || aaaa {
			c.s.glue = append(c.s.glue, ns)
			found.count++
		}
	}
	return found
}
