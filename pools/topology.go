package pools

import "meridian/config"

// linkParents builds the reverse indexes: the members of a target, the parents of
// a pool, the pools that a pool is the fallback of.
func (c *compiler) linkParents() {
	t := c.tree
	t.bound = make([]bool, len(t.pools))
	watched := make([]bool, len(t.pools))
	for i := range c.cfg.Zones {
		for b := range c.cfg.Zones[i].Bindings() {
			if id, ok := c.pools[b.Pool]; ok {
				t.bound[id] = true
				watched[id] = watched[id] || b.DegradedTTL > 0
			}
		}
	}
	for id, watch := range watched {
		if watch {
			t.watched = append(t.watched, ID(id))
		}
	}
	t.placeInRegions()
	t.membersByTarget = newIndex(len(t.targets), func(yield func(uint32, memberRef)) {
		t.eachMember(func(u memberRef, m *member) { t.eachTarget(u, m, yield) })
	})
	t.parents = newIndex(len(t.pools), func(yield func(uint32, memberRef)) {
		t.eachMember(func(u memberRef, m *member) {
			if m.child != none {
				yield(m.child, u)
			}
		})
	})
	t.fallbackUsers = newIndex(len(t.pools), func(yield func(uint32, ID)) {
		for id := range t.pools {
			if p := &t.pools[id]; p.fallback != none && t.bound[id] {
				yield(p.fallback, ID(id))
			}
		}
	})
}

// eachTarget yields the targets of an endpoint, with the endpoint.
func (t *Tree) eachTarget(u memberRef, m *member, yield func(target uint32, u memberRef)) {
	for _, r := range t.refs[m.first:][:m.addresses()] {
		if r.target != none {
			yield(r.target, u)
		}
	}
}

// eachMember visits all members, pool after pool.
func (t *Tree) eachMember(visit func(memberRef, *member)) {
	for id := range t.pools {
		p := &t.pools[id]
		for i := range p.members {
			visit(memberRef{uint32(id), i}, &t.members[p.first+i])
		}
	}
}

// order sets the height and the families of each pool, children before parents,
// and computes the stack size of the deepest walk. A pool inside itself is an error.
func (c *compiler) order() *config.Error {
	t := c.tree
	waiting := make([]uint32, len(t.pools)) // by pool: the number of nested pools without a height
	deepest := make([]uint32, len(t.pools))
	t.eachMember(func(u memberRef, m *member) {
		if m.child != none {
			waiting[u.pool]++
			return
		}
		t.pools[u.pool].addFamilies([2]bool{t.givesAddress(m, IPv4), t.givesAddress(m, IPv6)})
	})
	var ready []uint32
	for id, n := range waiting {
		if n == 0 {
			ready = append(ready, uint32(id))
		}
	}
	for done := 0; done < len(ready); done++ {
		id := ready[done]
		p := &t.pools[id]
		deepest[id] += setsPerVisit * p.words
		t.stackWords = max(t.stackWords, int(deepest[id]))
		t.levels = max(t.levels, int(p.height)+1)
		for _, parent := range t.parents.of(id) {
			above := &t.pools[parent.pool]
			above.height = max(above.height, p.height+1)
			above.addFamilies(p.has)
			if t.weights[above.first+parent.member] > 0 {
				above.depends = above.depends || p.depends
				above.fences = above.fences || p.fences
			}
			deepest[parent.pool] = max(deepest[parent.pool], deepest[id])
			if waiting[parent.pool]--; waiting[parent.pool] == 0 {
				ready = append(ready, parent.pool)
			}
		}
	}
	for id, n := range waiting {
		if n > 0 {
			p := &c.cfg.Pools[id]
			f := c.cfg.ErrorAt(p.Pos, "pools."+p.Name, "the pool contains itself through its members", "remove the cycle")
			return &f
		}
	}
	return nil
}

// addFamilies adds the families that a member of the pool has addresses of.
func (p *pool) addFamilies(has [2]bool) {
	for f := range has {
		p.has[f] = p.has[f] || has[f]
	}
}
