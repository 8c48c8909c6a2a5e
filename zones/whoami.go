package zones

import (
	"github.com/miekg/dns"

	"meridian/config"
)

// IsWhoami reports whether the node answers with the addresses that a query comes from.
func (s *Data) IsWhoami(node NodeID) bool { return s.node(node).flags.has(isWhoami) }

// whoamiText is the record that a transfer has at such a name: another server cannot answer for it, and without a record
// the name would not exist there.
const whoamiText = "answered by the primary server only"

// whoamiElsewhere returns the set with whoamiText.
func whoamiElsewhere() RRset {
	return RRset{Type: dns.TypeTXT, Count: 1, Data: append([]byte{0, byte(len(whoamiText) + 1), byte(len(whoamiText))}, whoamiText...)}
}

// addWhoamiNames marks the names of a zone that have whoami.
func (c *compiler) addWhoamiNames(z ZoneID) {
	for i := range c.cfg.Zones[z].Whoami {
		w := &c.cfg.Zones[z].Whoami[i]
		b := &config.BalancedName{Name: w.Name, Pos: w.Pos}
		wire := w.Name.Wire()
		if !c.within(wire, z) {
			c.nameErrorf(z, b, "put it in the zone that holds it", "%q is not within zone %q", w.Name, c.cfg.Zones[z].Name)
			continue
		}
		if id, ours := c.node(wire, z); ours {
			c.s.nodes[id].flags |= isWhoami
		}
	}
}

// checkWhoami checks that a name with whoami has no records of the types that it answers with.
func (c *compiler) checkWhoami(id NodeID) {
	if !c.s.nodes[id].flags.has(isWhoami) {
		return
	}
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCNAME} {
		if _, at, ok := c.setOf(id, typ); ok {
			c.errorf(at, "remove one of the two", "%s of %s, which has whoami in the configuration", typeName(typ), c.quoted(id))
		}
	}
}
