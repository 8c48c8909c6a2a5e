package zones

import "github.com/miekg/dns"

// longestLoop is the number of aliases that loop detection follows, equal to the limit of an answer.
const longestLoop = 16

// checkLoop warns of aliases that lead back to themselves. A client that queries an address there gets the whole loop
// and no address. A loop is reported once, at its first name.
func (c *compiler) checkLoop(id NodeID) {
	next, leads := id, true
	for range longestLoop {
		if next, leads = c.aliased(next); !leads || next < id {
			return
		}
		if next == id {
			_, at, _ := c.setOf(id, dns.TypeCNAME)
			c.warnf(at, "give one name of the loop an address", "the CNAME of %s leads back to itself", c.quoted(id))
			return
		}
	}
}

// aliased returns the node in our zones that the CNAME at a node points to. It returns false without a CNAME, or if
// the target is outside our zones or does not exist.
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
