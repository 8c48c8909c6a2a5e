package pools

import (
	"slices"

	"meridian/geo"
)

// spill is how the clients of a lost region of a pool are spread over the others
// (water-filling): each takes as many as it has room for below its low mark, the
// rest goes by the room that is left up to the high marks. It is made when the region
// is lost, see spilling.go, and never changes.
//
//	points of a circle, 0 to 255     arcs, one after the other, around and around
//	|--- eu-west 40 % ---|- us-west 20 % -|--- the rest ---|
//
// A client's network has a point, by a hash, and may go to the regions whose arc
// has it. While the arcs do not reach around, no two overlap, and none gets more than
// its part, wherever the clients are; where they do reach around, everybody has one to
// go to, and a client of several takes the nearest.
type spill struct {
	pool    ID
	group   uint32  // the lost region, among the pool's groups
	load    float64 // that it served
	part    uint16  // in 256ths: the clients that it had not shed, and that are spread
	key     uint64  // of the points
	outlets []outlet
}

// outlet is what a region, by its group, takes of a spill.
type outlet struct {
	from, part uint16  // the arc
	key        uint64  // of its scores for the rest
	weight     uint64  // of the rest; never 0
	load       float64 // that it had when the spill was made
	served     bool    // it had an eligible member then
}

// takes reports whether a point is on the arc.
func (o *outlet) takes(point uint16) bool { return (point+whole-o.from)%whole < o.part }

// spillsIn is the spills of a pool.
func (st *state) spillsIn(id ID) []*spill {
	from, _ := slices.BinarySearchFunc(st.spills, id, func(sp *spill, id ID) int { return int(sp.pool) - int(id) })
	to, _ := slices.BinarySearchFunc(st.spills, id+1, func(sp *spill, id ID) int { return int(sp.pool) - int(id) })
	return st.spills[from:to]
}

// spillOf is that of a region of the pool being visited; nil: none.
func (v *visit) spillOf(group uint32) *spill {
	for _, sp := range v.spills {
		if sp.group == group {
			return sp
		}
	}
	return nil
}

// narrowSpilled is narrowToNearest for a client whose first region is lost and has
// a spill; it reports false for any other. Of the regions in the client's ranking that
// have an eligible member:
//
//	the client                             the first of which this is so                left
//	any                                    the lost one, back again, takes it           those of the lost one
//	the lost one had it                    takes it, and the client is on its arc       those of that region
//	the lost one had shed it               takes it                                     those of that region
//	whom none of them takes                (the best by its score of the others)        those of that region
//	the same, and there is no other        the lost one                                 those of the lost one
//	none has an eligible member            -                                            those of no region
//
// "Takes it" is as in admitsTo: regions that start slowly or shed go on doing so, and
// their weights for the rest count by their parts.
func (s *Scratch) narrowSpilled(v *visit, table *geo.Table, leaf geo.Leaf) bool {
	if len(v.spills) == 0 {
		return false
	}
	ranking := table.Ranking(leaf)
	sp := v.spillOf(uint32(ranking[0]))
	if sp == nil {
		return false
	}
	s.scope = max(s.scope, table.Scope(leaf, 0))
	t := s.tree
	w := s.spread(v, sp)
	for k, region := range ranking {
		g := t.group(v.pool, uint32(region))
		if !v.eligible.meets(g) {
			continue
		}
		s.scope = max(s.scope, table.Scope(leaf, k))
		if (k == 0 || !w.had || sp.outlets[region].takes(w.point)) && s.admitsTo(v, g) {
			v.narrowTo(g)
			w.inTurn = true
			s.record.spilled(s, v, &w, k)
			return true
		}
		if k > 0 {
			w.score(s, region, s.partOfRegion(v, g))
		}
	}
	v.narrowTo(t.group(v.pool, s.left(v, &w)))
	s.record.spilled(s, v, &w, len(ranking))
	return true
}

// spreading is a client of a lost region on its way through a spill.
type spreading struct {
	*spill
	had     bool   // the lost region had it, and did not shed it
	point   uint16 // the client's
	network uint64
	inTurn  bool // a region took it in the order of the ranking

	// The region with the lowest score by now.
	best         int // -1: none
	cost, weight uint64
}

// spread finds out where a client stands in a spill.
func (s *Scratch) spread(v *visit, sp *spill) spreading {
	lost := s.tree.group(v.pool, sp.group)
	w := spreading{spill: sp, had: s.admits(v.first+uint32(lost.first()), uint64(sp.part)), best: -1}
	w.network, _ = networkOf(s.client)
	w.point = uint16(below(mix(w.network^sp.key), whole))
	return w
}

// score takes a region into account for the rest, by weighted rendezvous as byHash.
func (w *spreading) score(s *Scratch, region uint16, part uint64) {
	o := &w.outlets[region]
	cost, weight := s.tree.logarithms.below(mix(w.network^o.key)), o.weight*max(1, part)
	if w.best < 0 || less(cost, weight, w.cost, w.weight) {
		w.best, w.cost, w.weight = int(region), cost, weight
	}
}

// left is the group that a client goes to whom no region took in its turn.
func (s *Scratch) left(v *visit, w *spreading) uint32 {
	switch {
	case w.best >= 0:
		return uint32(w.best)
	case v.eligible.meets(s.tree.group(v.pool, w.group)):
		return w.group
	}
	return v.ngroups - 1
}
