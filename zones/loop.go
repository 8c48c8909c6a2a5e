package zones

import "github.com/miekg/dns"

// longestLoop is how many aliases are followed to find that they go round: as
// many as an answer may lead through.
const longestLoop = 16

// checkLoop warns of aliases that lead back to themselves: whoever asks for an
// address there gets the whole round and no address. A loop is told once, at
// the first of its names.
func (c *compiler) checkLoop(id NodeID) {
	next, leads := id, true
	for range longestLoop {
		if next, leads = c.aliased(next); !leads || next < id {
			return
		}
		if next == id {
			_, at, _ := c.setOf(id, dns.TypeCNAME)
			c.warnf(at, "have one of the loop name an address", "the CNAME of %s leads back to itself", c.quoted(id))
			return
		}
	}
}

// aliased is the node of ours that the CNAME at a node stands for; false where
// there is no CNAME, or it leads out of our zones or to a name that is none.
func (c *compiler) aliased(id NodeID) (NodeID, bool) {
	set, _, ok := c.setOf(id, dns.TypeCNAME)
	if !ok {
		return 0, false
	}
	for target := range c.targets(set) {
		m := c.s.Lookup(target, dns.TypeA)
		return m.Node, m.Kind == Exact || m.Kind == Wildcard
	}
	return 0, false
}
