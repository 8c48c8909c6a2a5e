package zones

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
)

// cnameMember is a member with a cname that a pool may answer with.
type cnameMember struct {
	in     pools.ID
	member int
	leads  poolRef
}

// poolRef is where a name of ours leads that is answered as a CNAME: to a pool that
// answers it, or, it may be by aliases, to whatever else, where it ends.
type poolRef struct {
	pool pools.ID
	ok   bool
}

// checkPoolLoops warns of cname members that lead back to the pool that answers
// with them:
//
//	the name leads back  and all else that the pool answers      told
//	to the pool itself   -                                       its clients are sent round
//	by way of others     leads back as well, as do the others    nobody gets an address
//	by way of others     has somebody who gives an address       nothing: it may be a standby's standby
//
// A loop is told once, at its first pool.
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
			"name another host, or have one of the loop give an address"))
	}
	for i := range c.cfg.Pools {
		id := pools.ID(i)
		for _, o := range outcomes[id].inside {
			switch {
			case !o.leads.ok:
			case o.leads.pool == id:
				warn(id, o, "whoever is answered with it gets no address")
			case closed[id] && reachesBack(outcomes, id, o.leads.pool):
				warn(id, o, "nobody gets an address")
			}
		}
	}
}

// poolAnswers are what a pool may answer with while it is live.
type poolAnswers struct {
	inside []cnameMember // by cname members that lead to names of ours
	ends   bool          // an address, a name elsewhere, NODATA
}

// resolve is the answers of the pools that names are bound to and that may answer
// with names of ours.
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

// collect adds what a pool may answer with to a. A cname is up always: in a
// failover nobody after the first is asked, unless by trickle.
func (c *compiler) collect(id pools.ID, a *poolAnswers, seen map[pools.ID]bool) {
	if seen[id] {
		return
	}
	seen[id] = true
	p := &c.cfg.Pools[id]
	a.ends = a.ends || p.Policy == config.Geolocation && (p.DefaultNoData || p.OnDown == config.Fence)
	for i := range p.Members {
		m := &p.Members[i]
		below, known := c.pools[m.Pool]
		switch {
		case !m.Enabled || m.Weight == 0:
		case m.Pool != "" && known:
			c.collect(below, a, seen)
		case m.CName != "":
			leads := c.findLoop(m.CName)
			a.inside = append(a.inside, cnameMember{id, i, leads})
			a.ends = a.ends || !leads.ok
			if p.Policy == config.Failover && p.Trickle == 0 {
				return
			}
		default:
			a.ends = true
		}
	}
}

// findLoop finds the pool that a name leads to.
func (c *compiler) findLoop(name config.Name) poolRef {
	m := c.s.Lookup(name.Wire(), dns.TypeA)
	id, ok := m.Node, m.Kind == Exact || m.Kind == Wildcard
	for range longestLoop {
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

// closedPools are those of which every answer leads to one of them: the largest
// such set, found by taking out who leads elsewhere until nobody does.
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

// reachesBack reports whether a way from a pool leads back to id, and by no pool before id.
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
