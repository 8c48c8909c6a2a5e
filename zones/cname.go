package zones

import (
	"slices"

	"meridian/dnsname"
	"meridian/pools"
)

// aliasing computes for each pool, by its index in the configuration, whether a name bound to it may be answered with
// a CNAME: from its own members, a nested pool, or its fallback.
func (c *compiler) aliasing() []CName {
	own := make([]CName, len(c.cfg.Pools))
	seen := make([]bool, len(c.cfg.Pools))
	for i := range own {
		c.aliasesOf(own, seen, pools.ID(i))
	}
	bound := slices.Clone(own)
	for i := range bound {
		if fallback, ok := c.pools[c.cfg.Pools[i].Fallback]; ok {
			bound[i] = max(bound[i], own[fallback]) // the fallback's own fallback is not used
		}
	}
	return bound
}

// aliasesOf computes own for a pool and its nested pools. It stops if a pool contains itself, which package pools
// rejects.
func (c *compiler) aliasesOf(own []CName, seen []bool, id pools.ID) CName {
	if seen[id] {
		return own[id]
	}
	seen[id] = true
	for i := range c.cfg.Pools[id].Members {
		switch m := &c.cfg.Pools[id].Members[i]; {
		case m.CName != "":
			own[id] = max(own[id], c.cnameOf(m.CName))
		case m.Pool != "":
			if below, ok := c.pools[m.Pool]; ok {
				own[id] = max(own[id], c.aliasesOf(own, seen, below))
			}
		}
	}
	return own[id]
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
	if !n.flags.has(isBalanced) || c.s.bindings[n.extra].CName == NoCName {
		return
	}
	if n.flags.has(isApex) {
		b := c.balancedName(id)
		c.nameErrorf(n.zone, b, "bind it to a pool without cname members; a target's addresses are allowed here",
			"pool %q may answer a CNAME, which is not allowed at the apex beside SOA and NS", b.Pool)
		return
	}
	for typ, at := range c.types(id) {
		c.errorf(at, "remove this, or the members with a cname", "%s of %s, which is bound to pool %q, which may answer a CNAME: a name with a CNAME has no other records",
			typeName(typ), c.quoted(id), c.balancedName(id).Pool)
	}
}
