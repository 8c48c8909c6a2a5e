package pools

import "slices"

// slowBound limits how much weight slow start may withhold from the members of a pool with
// max_ejection: together at most the bound, less the weight that is out already: what went down
// within the window and what flap damping holds down. Beyond it each member is withheld in proportion, so that the order of members does not matter.
type slowBound struct{ allowed, withheld uint64 } // weight in 256ths

// of returns the bounded fraction of a member with the fraction start. A member in slow start
// never gets all: it stays in the list of fractions, so that it is recomputed when the bound changes.
func (b slowBound) of(start uint64) uint64 {
	if start == full || b.withheld <= b.allowed {
		return start
	}
	return min(full-1, full-(full-start)*b.allowed/b.withheld)
}

// boundSlow computes the bound of a pool in which these members may be in slow start.
func (d *builder) boundSlow(id ID, members []uint32) (b slowBound) {
	e := d.tree.ejections.of(uint32(id))
	if e == nil {
		return b
	}
	first := d.tree.pools[id].first
	for _, member := range members {
		if kind := d.kind(member); kind != Drained && kind != ForcedUp && kind != ForcedDown {
			b.withheld += uint64(d.tree.weights[member]) * (full - d.slowStartFraction(memberRef{uint32(id), member - first}))
		}
	}
	b.allowed = full * (e.limit() - min(e.limit(), e.out))
	return b
}

// markSlowDirty marks the pool of a member because its bound of slow start has changed.
func (d *builder) markSlowDirty(m *ejection) {
	d.staleIn = append(d.staleIn, ID(d.tree.memberRefOf(m.member).pool))
}

// addSlowPools adds to the members to recompute the other slow members of their pools,
// where one bound applies to all of them together.
func (d *builder) addSlowPools() {
	if len(d.tree.ejections.pools) == 0 {
		return
	}
	for _, member := range d.stale {
		if id := d.tree.memberRefOf(member).pool; d.tree.ejections.of(id) != nil {
			d.staleIn = append(d.staleIn, ID(id))
		}
	}
	slices.Sort(d.staleIn)
	for _, id := range slices.Compact(d.staleIn) {
		for _, slow := range d.slowMembers(&d.tree.pools[id]) {
			d.stale = append(d.stale, slow.of)
		}
	}
	d.staleIn = d.staleIn[:0]
}
