package pools

import (
	"fmt"

	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// narrowToNearest leaves the eligible members of the nearest region that has
// any, and widens the scope accordingly:
//
//	first in the client's ranking with an eligible member   left                     scope
//	the k-th region                                         those of the k-th        up to its k-th nearest
//	none                                                    those without a region   none: the same for all clients
//
// If the first of all is lost and its clients are spread, narrowLost decides.
// Later draws stay in that region: an answer never reaches into the next.
func (s *Scratch) narrowToNearest(v *frame) {
	switch {
	case v.table == none: // one group only
		return
	case len(v.slow) > 0:
		s.narrowSlowly(v)
		return
	}
	// The table ranks exactly the regions that are the pool's groups, in order.
	t := s.tree
	table := t.geoTables[v.table]
	region, scope := table.Nearest(s.client)
	if g := t.group(v.pool, uint32(region)); v.eligible.Meets(g) { // fast path: the first row with k = 0
		s.scope = max(s.scope, scope)
		v.narrowTo(g)
		s.record.narrowed(s, v, 0)
		return
	}
	s.narrowByRanking(v, table)
}

// narrowByRanking is narrowToNearest for any region of the ranking.
func (s *Scratch) narrowByRanking(v *frame, table *geo.Table) {
	t := s.tree
	leaf := table.Lookup(s.client)
	if s.narrowLost(v, table, leaf) {
		return
	}
	for k, region := range table.Ranking(leaf) {
		if g := t.group(v.pool, uint32(region)); v.eligible.Meets(g) {
			s.scope = max(s.scope, table.Scope(leaf, k))
			v.narrowTo(g)
			s.record.narrowed(s, v, k)
			return
		}
	}
	v.narrowTo(t.group(v.pool, v.ngroups-1))
	s.record.narrowed(s, v, -1)
}

// narrowTo leaves the members of g.
func (v *frame) narrowTo(g bitset.Set) {
	v.eligible.Keep(g)
	v.canGive.Keep(g)
}

// whyNearest explains why proximity chose m.
func (s *Scratch) whyNearest(v *frame, from bitset.Set, m int) string {
	region := s.tree.cfg.Pools[v.id].Members[m].Region
	if region == "" {
		return "no region has an eligible member; " + s.whyWeight(v, from, m)
	}
	text := fmt.Sprintf("%s: %s", v.whichRegion(), s.record.distance(s, region)) + v.nearer
	if from.Count() > 1 {
		text += "; " + s.whyWeight(v, from, m)
	}
	return text
}
