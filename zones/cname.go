package zones

import (
	"meridian/config"
	"meridian/dnsname"
)

// aliasing computes for each pool, by its index in the configuration, whether a name bound to it may be answered with
// a CNAME: from its own members, a nested pool, or its fallback.
func (c *compiler) aliasing() []CName {
	of := func(m *config.Member) CName {
		if m.CName == "" {
			return NoCName
		}
		return c.cnameOf(m.CName)
	}
	return foldPools(c, of, func(a, b CName) CName { return max(a, b) })
}

// cnameOf returns the kind of CNAME answer that points to name. All apexes are known.
func (c *compiler) cnameOf(name dnsname.Name) CName {
	if c.s.encloser(name.Wire()) == 0 {
		return CNameOutside
	}
	return CNameInside
}

// checkCName checks that a name which may be a CNAME has no other records (RFC 1034 3.6.2): it is not an apex, which
// has SOA and NS, and has no static records.
func (c *compiler) checkCName(id NodeID) {
	n := &c.s.nodes[id]
	if !n.flags.has(isBalanced) {
		return
	}
	for b := range c.s.bindingsOf(n) {
		pool := c.cfg.Pools[b.Pool].Name
		switch {
		case b.CName == NoCName:
		case n.flags.has(isApex):
			c.nameErrorf(n.zone, c.balancedName(id), "bind it to a pool without cname members; a target's addresses are allowed here",
				"pool %q may answer a CNAME, which is not allowed at the apex beside SOA and NS", pool)
		default:
			for typ, at := range c.types(id) {
				c.errorf(at, "remove this, or the members with a cname", "%s of %s, which is bound to pool %q, which may answer a CNAME: a name with a CNAME has no other records",
					typeName(typ), c.quoted(id), pool)
			}
		}
	}
}
