package zones

import (
	"slices"

	"meridian/config"
	"meridian/pools"
)

// aliasing finds for each pool, by its index in the configuration, whether a name
// bound to it may be answered with a CNAME: of a member of its own or of a pool
// below, or the same of its fallback.
func (c *compiler) aliasing() []CName {
	own := make([]CName, len(c.cfg.Pools))
	seen := make([]bool, len(c.cfg.Pools))
	for i := range own {
		c.aliasesOf(own, seen, pools.ID(i))
	}
	bound := slices.Clone(own)
	for i := range bound {
		if fallback, ok := c.pools[c.cfg.Pools[i].Fallback]; ok {
			bound[i] = max(bound[i], own[fallback]) // whose own fallback is not asked
		}
	}
	return bound
}

// aliasesOf works out own for a pool and those below it. Should a pool be inside
// itself, which package pools refuses, it ends there.
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

// cnameOf tells where a name leads that is answered as a CNAME. All apexes are known.
func (c *compiler) cnameOf(name config.Name) CName {
	if c.s.encloser(name.Wire()) == 0 {
		return CNameOutside
	}
	return CNameInside
}

// checkCName checks that a name which may be a CNAME is nothing else (RFC 1034
// 3.6.2): not an apex, which has SOA and NS, and without static records.
func (c *compiler) checkCName(id NodeID) {
	n := &c.s.nodes[id]
	if !n.flags.has(isBalanced) || c.s.bindings[n.extra].CName == NoCName {
		return
	}
	if n.flags.has(isApex) {
		b := c.balancedName(id)
		c.nameErrorf(n.zone, b, "bind it to a pool without cname members; a target's addresses can stand here",
			"pool %q may answer a CNAME, which cannot stand at the apex beside SOA and NS", b.Pool)
		return
	}
	for typ, at := range c.types(id) {
		c.errorf(at, "take out this, or the members with a cname", "%s of %s, which is bound to pool %q, which may answer a CNAME: a name with a CNAME has nothing else",
			typeName(typ), c.quoted(id), c.balancedName(id).Pool)
	}
}
