package zones

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
)

// cnameMember is a member with a cname in a pool.
type cnameMember struct {
	in     pools.ID
	member int
	leads  poolRef
}

// poolRef is the end of a name in our zones that is answered as a CNAME: a pool that answers it, or any other end,
// possibly through aliases.
type poolRef struct {
	pool pools.ID
	ok   bool
}

// checkPoolLoops warns of cname members that lead back to the pool that answers with them:
//
//	the name leads back  and all other answers of the pool       warning
//	to the pool itself   -                                       its clients get a loop
//	through others       lead back as well, as do the others'    no client gets an address
//	through others       include one that gives an address       none: it may be the standby of a standby
//
// A loop is reported once, at its first pool.
func (c *compiler) checkPoolLoops() {
	outcomes := c.resolve()
	closed := closedPools(outcomes)
	told := make(map[[2]int]bool)
	warn := func(id pools.ID, o cnameMember, what string) {
		at := [2]int{int(o.in), o.member}
		if told[at] {
			return
		}
		told[at] = true
		p := &c.cfg.Pools[o.in]
		m := &p.Members[o.member]
		path := fmt.Sprintf("pools.%s.members[%d].cname", p.Name, o.member)
		c.warnings = append(c.warnings, c.cfg.ErrorAt(m.Pos, path, fmt.Sprintf("%q leads back to pool %q: %s", m.CName, c.cfg.Pools[id].Name, what),
			"name another host, or give one pool of the loop an address"))
	}
	for i := range c.cfg.Pools {
		id := pools.ID(i)
		for _, o := range outcomes[id].inside {
			switch {
			case !o.leads.ok:
			case o.leads.pool == id:
				warn(id, o, "clients that receive it get no address")
			case closed[id] && reachesBack(outcomes, id, o.leads.pool):
				warn(id, o, "no client gets an address")
			}
		}
	}
}

// poolAnswers holds the possible answers of a live pool.
type poolAnswers struct {
	inside []cnameMember // by cname members that lead to names in our zones
	ends   bool          // an address, a name elsewhere, NODATA
}

// resolve returns the answers of the bound pools that may answer with names in our zones.
func (c *compiler) resolve() map[pools.ID]poolAnswers {
	found := make(map[pools.ID]poolAnswers)
	for _, b := range c.s.bindings {
		if _, known := found[b.Pool]; !known && b.CName == CNameInside {
			var a poolAnswers
			c.collect(b.Pool, &a, make(map[pools.ID]bool))
			found[b.Pool] = a
		}
	}
	return found
}

// collect adds the possible answers of a pool to a. A cname is always up: a failover pool uses no member after it,
// except by trickle.
func (c *compiler) collect(id pools.ID, a *poolAnswers, seen map[pools.ID]bool) {
	if seen[id] {
		return
	}
	seen[id] = true
	p := &c.cfg.Pools[id]
	a.ends = a.ends || p.Policy == config.Geolocation && (p.DefaultNoData || p.OnDown == config.Fence)
	for i := range p.Members {
		m := &p.Members[i]
		if !m.Enabled || m.Weight == 0 {
			continue
		}
		c.collectMember(cnameMember{in: id, member: i}, a, seen)
		if m.CName != "" && p.Policy == config.Failover && p.Trickle == 0 {
			return
		}
	}
}

// collectMember adds the possible answers of one member to a.
func (c *compiler) collectMember(o cnameMember, a *poolAnswers, seen map[pools.ID]bool) {
	m := &c.cfg.Pools[o.in].Members[o.member]
	below, known := c.pools[m.Pool]
	switch {
	case m.Pool != "" && known:
		c.collect(below, a, seen)
	case m.CName != "":
		o.leads = c.findLoop(m.CName)
		a.inside = append(a.inside, o)
		a.ends = a.ends || !o.leads.ok
	default:
		a.ends = true
	}
}

// findLoop finds the pool that a name leads to.
func (c *compiler) findLoop(name dnsname.Name) poolRef {
	m := c.s.Lookup(name.Wire(), dns.TypeA)
	id, ok := m.Node, m.Kind == Exact || m.Kind == Wildcard
	for range maxAliases {
		if !ok {
			return poolRef{}
		}
		if n := &c.s.nodes[id]; n.flags.has(isBalanced) {
			return poolRef{c.s.bindings[n.extra].Pool, true}
		}
		id, ok = c.aliased(id)
	}
	return poolRef{}
}

// closedPools returns the largest set of pools with answers that all lead to pools of the set. It removes the pools that
// lead elsewhere until none remains.
func closedPools(all map[pools.ID]poolAnswers) map[pools.ID]bool {
	closed := make(map[pools.ID]bool, len(all))
	for id, a := range all {
		closed[id] = !a.ends && len(a.inside) > 0
	}
	for changed := true; changed; {
		changed = false
		for id, a := range all {
			out := func(o cnameMember) bool { return !closed[o.leads.pool] }
			if closed[id] && slices.ContainsFunc(a.inside, out) {
				closed[id], changed = false, true
			}
		}
	}
	return closed
}

// reachesBack reports whether a path from a pool leads back to id, and through no pool before id.
func reachesBack(all map[pools.ID]poolAnswers, id, from pools.ID) bool {
	seen, next := map[pools.ID]bool{}, []pools.ID{from}
	back := false
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		switch {
		case at == id:
			back = true
			continue
		case seen[at]:
			continue
		case at < id:
			return false
		}
		seen[at] = true
		for _, o := range all[at].inside {
			next = append(next, o.leads.pool)
		}
	}
	return back
}
